"""The curated set: every trick we know, made by code."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from PIL import Image

from tests.hostile.jpeg_images import jpeg_images, saved, street
from tests.hostile.png_images import png_images


@cache
def hostile_images() -> dict[str, bytes]:
    """Content by name, some hundred of them, 1 B to 20 MB; always the same."""
    return dict([*jpeg_images(), *png_images(), *_webp_images(), *_other_files()])


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\x00" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _lossless_head(width: int, height: int) -> bytes:
    return b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)


def _canvas(width: int, height: int, flags: int) -> bytes:
    return (
        bytes([flags, 0, 0, 0])
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )


def _webp_images() -> Iterator[tuple[str, bytes]]:
    lossy = saved(street(), "WEBP", quality=80)
    lossless = saved(street(), "WEBP", lossless=True)
    yield "webp lossy", lossy
    yield "webp lossless", lossless
    see_through = street()
    see_through.putalpha(Image.linear_gradient("L").resize(see_through.size))
    yield "webp transparent", saved(see_through, "WEBP", lossless=True)
    yield "webp cut in half", lossy[: len(lossy) // 2]
    yield "webp lossless cut in half", lossless[: len(lossless) // 2]
    yield "webp wrong RIFF size", lossy[:4] + b"\xff\xff\xff\xff" + lossy[8:]
    yield (
        "webp 16384x16384 in 40 bytes",
        _riff((b"VP8L", _lossless_head(16384, 16384) + b"\x00" * 32)),
    )
    yield "webp 3900x3900 in 40 bytes", _riff((b"VP8L", _lossless_head(3900, 3900) + b"\x00" * 32))
    yield (
        "webp canvas 2^24 squared",
        _riff((b"VP8X", _canvas(1 << 24, 1 << 24, 0)), (b"VP8 ", lossy[20:])),
    )
    yield (
        "webp canvas unlike its picture",
        _riff((b"VP8X", _canvas(4000, 3000, 0)), (b"VP8 ", lossy[20:])),
    )
    yield (
        "webp animated",
        saved(
            street(), "WEBP", save_all=True, append_images=[street().rotate(n) for n in range(20)]
        ),
    )
    frame = struct.pack("<I", 5000)[:3] * 2 + struct.pack("<I", 95)[:3] * 2 + b"\x64\x00\x00\x00"
    yield (
        "webp frame out of its canvas",
        _riff(
            (b"VP8X", _canvas(96, 64, 2)),
            (b"ANIM", b"\x00" * 6),
            (b"ANMF", frame + b"VP8 " + struct.pack("<I", len(lossy) - 20) + lossy[20:]),
        ),
    )
    yield (
        "webp profile of 16 MB",
        _riff(
            (b"VP8X", _canvas(96, 64, 0x20)), (b"ICCP", b"\x00" * (16 << 20)), (b"VP8 ", lossy[20:])
        ),
    )
    yield "webp without picture", _riff((b"VP8X", _canvas(96, 64, 0)))


def _other_files() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "one byte", b"\xff"
    yield "jpeg magic", b"\xff\xd8\xff\xe0"
    yield "png magic", b"\x89PNG\r\n\x1a\n"
    yield "webp magic", b"RIFF\x00\x00\x00\x00WEBP"
    yield "zeros", bytes(1 << 20)
    yield "text", b"GET / HTTP/1.1\r\n\r\n" * 100
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    for kind in ("GIF", "BMP", "TIFF", "PPM", "ICO", "PDF"):
        yield kind.lower(), saved(street(), kind)
