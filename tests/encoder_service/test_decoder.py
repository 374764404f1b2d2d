"""Decoding in processes of their own: the same pixels, and no harm done."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from encoder_service.decoder import Decoder
from encoder_service.decoder_process import DecoderDied, DecoderLimits, DecoderProcess
from encoder_service.decoding import ImageLimits, Subject, decode
from encoder_service.picture import FlawedPicture
from patchsearch.errors import InvalidArgument, Unavailable

IMAGES = ImageLimits(max_pixels=20_000_000)
LIMITS = DecoderLimits.for_images(IMAGES.max_pixels, cpu_s=30)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(2, LIMITS)
    decoder.start()
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def large(encoded) -> bytes:
    """A PNG of 16 million pixels, some 0.1 s of work to decode."""
    return encoded(np.zeros((4000, 4000, 3), dtype=np.uint8), compress_level=1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def error_of(decoder: Decoder, data: bytes, subject: Subject = Subject.IMAGE) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        decoder.decode(data, subject, IMAGES)
    return caught.value


@pytest.mark.parametrize(
    "mode, kind, options",
    [
        ("RGB", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("L", "PNG", {}),
        ("I;16", "PNG", {}),
        ("P", "PNG", {"transparency": 3}),
        ("RGBA", "WEBP", {"lossless": True}),
    ],
)
def test_the_pixels_are_those_of_decode(decoder, encoded, street, mode, kind, options):
    if mode == "I;16":
        picture = Image.fromarray(street[..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(street).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture, kind, exif=exif, **options)
    pixels = decoder.decode(data, Subject.IMAGE, IMAGES)
    assert np.array_equal(pixels, decode(data, Subject.IMAGE, IMAGES))
    assert pixels.flags.c_contiguous and pixels.flags.writeable and pixels.dtype == np.uint8


@pytest.mark.parametrize("subject", list(Subject))
def test_errors_are_those_of_decode(decoder, encoded, street, subject):
    sound = encoded(street, "JPEG")
    wide = encoded(np.zeros((4500, 4500), dtype=np.uint8))
    for data in (b"", b"nothing", sound[: len(sound) // 2], wide):
        with pytest.raises(InvalidArgument) as caught:
            decode(data, subject, IMAGES)
        error = error_of(decoder, data, subject)
        assert (error.reason, error.message) == (caught.value.reason, caught.value.message)


def test_pixels_stay_when_the_next_image_comes(decoder, encoded, street):
    first = decoder.decode(encoded(street), Subject.IMAGE, IMAGES)
    decoder.decode(encoded(255 - street), Subject.IMAGE, IMAGES)
    assert np.array_equal(first, street)


def test_many_callers_get_their_own_pixels(decoder, encoded):
    pictures = [np.full((40 + n, 60, 3), n, dtype=np.uint8) for n in range(32)]
    files = [encoded(p) for p in pictures]
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(lambda f: decoder.decode(f, Subject.IMAGE, IMAGES), files))
    assert all(np.array_equal(d, p) for d, p in zip(decoded, pictures, strict=True))


def test_too_much_processor_time_is_refused_and_the_next_image_served(encoded, street, large):
    decoder = Decoder(1, DecoderLimits(cpu_s=0.02, wall_s=60, memory_bytes=LIMITS.memory_bytes))
    try:
        error = error_of(decoder, large)
        assert error.reason == "IMAGE_TOO_LARGE" and "processor time" in error.message
        small = encoded(street[:32, :32])
        assert decoder.decode(small, Subject.IMAGE, IMAGES).shape == (32, 32, 3)
    finally:
        decoder.close()


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_too_much_memory_is_refused_and_the_next_image_served(encoded, street, large):
    decoder = Decoder(1, DecoderLimits(cpu_s=30, wall_s=60, memory_bytes=220 << 20))
    try:
        for _ in range(2):
            error = error_of(decoder, large)
            assert error.reason == "IMAGE_TOO_LARGE" and "memory" in error.message
            small = encoded(street[:32, :32])
            assert decoder.decode(small, Subject.IMAGE, IMAGES).shape == (32, 32, 3)
    finally:
        decoder.close()


def test_a_process_that_hangs_is_ended(encoded, street):
    process = DecoderProcess(DecoderLimits(30, wall_s=5, memory_bytes=LIMITS.memory_bytes))
    data = encoded(street)
    process.decode(data, IMAGES.max_pixels)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(FlawedPicture, match=r"more than 5 s"):
        process.decode(data, IMAGES.max_pixels)
    assert process.ended and not alive(process.pid)
    process.close()


def test_a_process_that_died_is_told_from_a_bad_image(encoded, street):
    process = DecoderProcess(LIMITS)
    process.decode(encoded(street), IMAGES.max_pixels)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(DecoderDied, match="status -9"):
        process.decode(encoded(street), IMAGES.max_pixels)
    process.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_images_are_served_on_while_processes_are_killed(encoded, street):
    decoder = Decoder(2, LIMITS)
    data = encoded(street)
    try:
        for _ in range(3):
            decoder.decode(data, Subject.IMAGE, IMAGES)
            for pid in decoders_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            pixels = decoder.decode(data, Subject.IMAGE, IMAGES)
            assert np.array_equal(pixels, street)
    finally:
        decoder.close()


def test_a_closed_decoder_leaves_no_process_and_says_so(encoded, street):
    decoder = Decoder(1, LIMITS)
    decoder.start()
    decoder.decode(encoded(street), Subject.IMAGE, IMAGES)
    decoder.close()
    decoder.close()
    with pytest.raises(Unavailable) as caught:
        decoder.decode(encoded(street), Subject.IMAGE, IMAGES)
    assert caught.value.reason == "NOT_READY"


def test_a_decoder_that_cannot_start_is_unavailable(encoded, street):
    decoder = Decoder(1, DecoderLimits(cpu_s=1, wall_s=1, memory_bytes=1 << 20))
    with pytest.raises(Unavailable) as caught:
        decoder.decode(encoded(street), Subject.IMAGE, IMAGES)
    assert caught.value.reason == "DECODER_UNAVAILABLE"
    decoder.close()


_OWNER = """
import sys
from encoder_service.decoder_process import DecoderLimits, DecoderProcess
process = DecoderProcess(DecoderLimits(30, 60, 1 << 31))
try:
    process.decode(b"nothing", 1000)
except Exception:
    print(process.pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_server_leaves_no_process_behind():
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        pid = int(owner.stdout.readline())
        watch = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        owner.kill()
        owner.wait()
    if watch is not None:
        assert select.select([watch], [], [], 30)[0]
        os.close(watch)


def test_a_server_that_stops_before_it_needed_a_decoder_stops_quietly():
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "encoder_service.decoder_worker", str(theirs.fileno())]
    with subprocess.Popen(
        [*command, str(1 << 31)], pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
    ) as process:
        theirs.close()
        assert select.select([ours], [], [], 60)[0]  # it is ready, and nobody reads that
        ours.close()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


def decoders_of(parent: int) -> list[int]:
    """The processes that this one has started to decode images."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat, open(f"/proc/{entry}/cmdline") as command:
                ours = int(stat.read().rpartition(")")[2].split()[1]) == parent
                if ours and "decoder_worker" in command.read():
                    found.append(int(entry))
        except OSError:
            continue
    return found
