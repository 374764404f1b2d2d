"""JPEGs that a decoder should not have to meet."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from PIL import Image


def street(width: int = 96, height: int = 64) -> Image.Image:
    """A small picture with edges and gradients."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 / width, y * 255 / height, (x ^ y) % 256], axis=2)
    picture[height // 4 : height // 2, width // 4 : width // 2] = (230, 20, 20)
    return Image.fromarray(picture.astype(np.uint8))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The picture in this format."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _after_soi(sound: bytes, inserted: bytes) -> bytes:
    return sound[:2] + inserted + sound[2:]


def _with_frame(sound: bytes, at: int, value: bytes, marker: int | None = None) -> bytes:
    """Bytes of the frame header, from its precision on, written over."""
    start = next(
        i for i in range(len(sound) - 1) if sound[i] == 0xFF and sound[i + 1] in (0xC0, 0xC2)
    )
    changed = bytearray(sound)
    if marker is not None:
        changed[start + 1] = marker
    changed[start + 4 + at : start + 4 + at + len(value)] = value
    return bytes(changed)


def _without(sound: bytes, marker: int) -> bytes:
    """All segments of a kind left out."""
    out, at = sound[:2], 2
    while at < len(sound):
        kind, length = sound[at + 1], struct.unpack(">H", sound[at + 2 : at + 4])[0]
        if kind == 0xDA:
            return out + sound[at:]
        if kind != marker:
            out += sound[at : at + 2 + length]
        at += 2 + length
    return out


def _scans(sound: bytes) -> list[bytes]:
    """Header up to the first scan, then the scans, each with the tables before the next one."""
    starts = [i for i in range(len(sound) - 1) if sound[i : i + 2] == b"\xff\xda"]
    edges = [0, *starts, len(sound) - 2]
    return [sound[a:b] for a, b in pairwise(edges)]


def _exif(entries: list[tuple[int, int, int, int]], next_ifd: int = 0) -> bytes:
    body = b"II*\x00" + struct.pack("<IH", 8, len(entries))
    for entry in entries:
        body += struct.pack("<HHII", *entry)
    return segment(0xE1, b"Exif\x00\x00" + body + struct.pack("<I", next_ifd))


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../etc/passwd", "root")
    return out.getvalue()


def jpeg_images() -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    sound = saved(street(), "JPEG", quality=90)
    progressive = saved(street(), "JPEG", quality=90, progressive=True)
    yield "jpeg sound", sound
    yield "jpeg progressive", progressive
    yield "jpeg grey", saved(street().convert("L"), "JPEG")
    yield "jpeg cmyk", saved(street().convert("CMYK"), "JPEG")
    yield "jpeg cut in half", sound[: len(sound) // 2]
    yield "jpeg header only", sound[: sound.index(b"\xff\xda")]
    yield "jpeg without end", sound[:-2]
    yield "jpeg 65500x65500", _with_frame(sound, 1, struct.pack(">HH", 65500, 65500))
    yield (
        "jpeg 3900x3900 with the data of a small one",
        _with_frame(sound, 1, struct.pack(">HH", 3900, 3900)),
    )
    yield "jpeg width 0", _with_frame(sound, 1, struct.pack(">HH", 64, 0))
    yield "jpeg height 0", _with_frame(sound, 1, struct.pack(">HH", 0, 96))
    yield "jpeg 12 bit", _with_frame(sound, 0, b"\x0c")
    yield "jpeg 5 components", _with_frame(sound, 5, b"\x05")
    yield "jpeg sampling 15x15", _with_frame(sound, 7, b"\xff")
    yield "jpeg sampling 0x0", _with_frame(sound, 7, b"\x00")
    yield "jpeg lossless", _with_frame(sound, 0, b"\x08", marker=0xC3)
    yield "jpeg arithmetic", _with_frame(sound, 0, b"\x08", marker=0xC9)
    yield "jpeg without quantization", _without(sound, 0xDB)
    yield "jpeg without Huffman tables", _without(sound, 0xC4)
    yield (
        "jpeg wrong Huffman counts",
        sound.replace(b"\xff\xc4\x00\x1f\x00", b"\xff\xc4\x00\x1f\x00\xff\xff\xff", 1),
    )
    scans = _scans(progressive)
    yield "jpeg missing scans", b"".join(scans[:3]) + b"\xff\xd9"
    yield "jpeg scans in the wrong order", scans[0] + b"".join(reversed(scans[1:])) + b"\xff\xd9"
    yield "jpeg 3000 scans", scans[0] + scans[1] + scans[-1] * 3000 + b"\xff\xd9"
    large = _scans(saved(street(3600, 3600), "JPEG", quality=30, progressive=True))
    yield (
        "jpeg 1500 scans of 13 Mpx",
        large[0] + large[1] + min(large[2:], key=len) * 1500 + b"\xff\xd9",
    )
    icc = b"".join(
        segment(0xE2, b"ICC_PROFILE\x00" + bytes([n, 255]) + b"\x00" * 65000) for n in range(1, 256)
    )
    yield "jpeg ICC of 16 MB", _after_soi(sound, icc)
    yield "jpeg ICC piece 0 of 0", _after_soi(sound, segment(0xE2, b"ICC_PROFILE\x00\x00\x00abc"))
    yield "jpeg 16 MB of comments", _after_soi(sound, segment(0xFE, b"x" * 65000) * 250)
    yield (
        "jpeg EXIF that points at itself",
        _after_soi(
            sound, _exif([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x014A, 4, 1, 8)], next_ifd=8)
        ),
    )
    yield (
        "jpeg EXIF with a count of 2^32 - 1",
        _after_soi(sound, _exif([(0x0112, 5, 0xFFFFFFFF, 0xFFFFFFF0), (0x010F, 2, 0xFFFFFFFF, 1)])),
    )
    yield "jpeg orientation 65535", _after_soi(sound, _exif([(0x0112, 3, 1, 65535)]))
    yield (
        "jpeg XMP with entities",
        _after_soi(
            sound,
            segment(
                0xE1,
                b"http://ns.adobe.com/xap/1.0/\x00<!DOCTYPE x [<!ENTITY a 'aaaa'>"
                b"<!ENTITY b '&a;&a;&a;&a;'>]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&b;</x:xmpmeta>",
            ),
        ),
    )
    yield (
        "jpeg of many pictures",
        _after_soi(
            sound, segment(0xE2, b"MPF\x00II*\x00" + struct.pack("<IH", 8, 1) + b"\xff" * 16)
        ),
    )
    yield "jpeg in a jpeg", _after_soi(sound, sound)
    yield "jpeg with a zip behind it", sound + _zip()
    yield (
        "jpeg with a page in a comment",
        _after_soi(sound, segment(0xFE, b"<script>alert(1)</script>")),
    )
    yield "jpeg of restart markers", sound[: sound.index(b"\xff\xda") + 14] + b"\xff\xd0" * 500_000
