"""One decoding process, seen from the server."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass

from encoder_service.decoder_worker import READY, REPLY, REQUEST, pixels_in
from encoder_service.picture import Flaw, FlawedPicture
from encoder_service.pixels import RgbImage
from patchsearch.errors import Unavailable

_START_S = 60.0
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
_KEPT_BYTES = 48 << 20
_KILLED_FOR_TIME = -signal.SIGPROF


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """`cpu_s`: processor time for an image of most pixels, after which its process is killed; a
    smaller one gets its share, and a second at least. `wall_s`: time that the server waits for an
    image. `memory_bytes`: address space of a process."""

    cpu_s: float
    wall_s: float
    memory_bytes: int

    @classmethod
    def for_images(cls, max_pixels: int, cpu_s: float) -> DecoderLimits:
        """Room for the worst sound image of `max_pixels`, and waits that a busy machine needs."""
        return cls(cpu_s, 5 + 2 * cpu_s, _BASE_BYTES + _BYTES_A_PIXEL * max_pixels)


_BASE_BYTES = 512 << 20
"""Interpreter, numpy and Pillow, with what they map and never touch, and the encoded bytes."""

_BYTES_A_PIXEL = 24
"""A transparent palette image that is turned is held six times, in up to four bytes a pixel."""


class DecoderDied(Exception):
    """The process ended, for a reason that may not lie in the image."""


class DecoderProcess:
    """Decodes images in a process that is started, not forked, and limited in memory and time.

    Image and pixels pass through memory that both processes map. It has no name: the kernel frees
    it with its last user, however that one ends. Not thread-safe: one image at a time.
    """

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        self._ready = False
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(limits.wall_s)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    _command(theirs.fileno(), limits.memory_bytes),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                    # Ctrl-C at a terminal is for the server, which ends its decoders.
                    process_group=0,
                )
            except OSError as error:
                self._socket.close()
                raise _unstartable(error.strerror or str(error)) from error
        self._memory: mmap.mmap | None = None
        self.decoded = 0

    def decode(self, data: bytes, max_pixels: int) -> RgbImage:
        """The pixels of an image.

        Raises `FlawedPicture`; `DecoderDied` when the process is gone, and `Unavailable`
        (DECODER_UNAVAILABLE) when it never came up. After those two, after a flaw OUT_OF_MEMORY and
        where `ended` is true the process is of no more use: `close` it.
        """
        self._await_ready()
        try:
            memory = self._handed_over(data, max_pixels)
            flaw, width, height, length = REPLY.unpack(self._received(REPLY.size))
            detail = self._received(length).decode("utf-8", "replace")
            try:
                if flaw:
                    raise FlawedPicture(Flaw(flaw), detail or Flaw(flaw).name.lower())
                self.decoded += 1
                return pixels_in(memory, width, height).copy()
            finally:
                _give_back(memory, max(len(data), width * height * 3))
        except TimeoutError as error:
            self.close()
            raise FlawedPicture(
                Flaw.TOO_LARGE, f"it took more than {self._limits.wall_s:g} s; send a smaller image"
            ) from error
        except (EOFError, ConnectionError, BrokenPipeError) as error:
            self.close()
            status = self._process.returncode
            if status == _KILLED_FOR_TIME:
                raise FlawedPicture(
                    Flaw.TOO_LARGE,
                    "it takes more processor time than an image of its size may; send a smaller "
                    "one, or one that is compressed more simply",
                ) from error
            raise DecoderDied(f"its decoder ended with status {status}") from error

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def close(self) -> None:
        """Ends the process, whatever it does; again is not an error."""
        self._socket.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _handed_over(self, data: bytes, max_pixels: int) -> mmap.mmap:
        """The memory in which the process finds the image, and leaves its pixels."""
        memory, new = self._memory, []
        size = max(len(data), max_pixels * 3)
        try:
            if memory is None or len(memory) < size:
                new = [_memory_file(size)]
                memory = self._memory = mmap.mmap(new[0], size)
            memory[: len(data)] = data
            request = REQUEST.pack(len(data), max_pixels, self._limits.cpu_s)
            socket.send_fds(self._socket, [request], new)
            return memory
        finally:
            for fd in new:
                os.close(fd)

    def _await_ready(self) -> None:
        if self._ready:
            return
        self._socket.settimeout(_START_S)
        try:
            self._received(len(READY))
        except (OSError, EOFError) as error:
            self.close()
            raise _unstartable(f"status {self._process.returncode}") from error
        self._socket.settimeout(self._limits.wall_s)
        self._ready = True

    def _received(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = self._socket.recv(size - len(received))
            if not part:
                raise EOFError
            received += part
        return received


def _command(fd: int, memory_bytes: int) -> list[str]:
    return [
        sys.executable, "-P", "-m", "encoder_service.decoder_worker", str(fd), str(memory_bytes)
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    # Little of ours: tokens and passwords stand in environments.
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **kept,
        # Where this process found the package.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        # Threads would share one image's limits.
        "OPENBLAS_NUM_THREADS": "1",
        # Huge pages: half of the time of a large photo would go into faults for small ones.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }


def _memory_file(size: int) -> int:
    """A file without a name, of this size for good; only pages that are written take memory."""
    if sys.platform == "linux":
        fd = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    if sys.platform == "linux":
        # A decoder that an image has taken over could shrink it under our feet (SIGBUS).
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def _give_back(memory: mmap.mmap, used: int) -> None:
    """Frees the pages of a large image; those of a usual photo are kept, as fresh ones are slow."""
    if used > _KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
        memory.madvise(mmap.MADV_REMOVE, _KEPT_BYTES, len(memory) - _KEPT_BYTES)


def _unstartable(why: str) -> Unavailable:
    return Unavailable(
        "DECODER_UNAVAILABLE", f"no process to decode images could be started: {why}; come back"
    )
