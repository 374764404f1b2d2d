"""PNGs that a decoder should not have to meet."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.hostile.jpeg_images import saved, street

_MAGIC = b"\x89PNG\r\n\x1a\n"
_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _head(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return _MAGIC + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    )


def _data(raw: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(raw))


def zeros(size: int) -> bytes:
    """So many zeros, deflated, without holding them."""
    deflate = zlib.compressobj(1)
    block = bytes(1 << 20)
    parts = [deflate.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, deflate.compress(bytes(size & 0xFFFFF)), deflate.flush()])


def _plain(width: int, height: int, **head: int) -> bytes:
    return _head(width, height, **head) + _data((b"\x00" + b"\x55" * (3 * width)) * height) + _END


def _flipped_checksum(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    length = struct.unpack(">I", data[at - 4 : at])[0]
    changed = bytearray(data)
    changed[at + 4 + length] ^= 0xFF
    return bytes(changed)


def png_images() -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    sound = saved(street(), "PNG")
    start = len(_MAGIC) + 25
    yield "png sound", sound
    yield "png cut in half", sound[: len(sound) // 2]
    yield "png without end", sound[:-12]
    yield "png wrong header checksum", _flipped_checksum(sound, b"IHDR")
    yield "png wrong data checksum", _flipped_checksum(sound, b"IDAT")
    yield "png 0x0", _plain(0, 0)
    yield "png 2^31 - 1 squared", _head(2**31 - 1, 2**31 - 1) + _data(b"x") + _END
    yield "png 30000x30000 of zeros", _head(30000, 30000) + chunk(b"IDAT", zeros(90_000_000)) + _END
    yield (
        "png 3900x3900 of zeros",
        _head(3900, 3900) + chunk(b"IDAT", zeros(3900 * (3 * 3900 + 1))) + _END,
    )
    yield (
        "png with 256 MB behind 8x8 pixels",
        _head(8, 8) + chunk(b"IDAT", zeros(256 << 20)) + _END,
    )
    yield "png 1 pixel wide", _plain(1, 60_000)
    yield (
        "png 8 pixels wide, 1.9 million high",
        _head(8, 1_900_000, 8, 0) + chunk(b"IDAT", zeros(9 * 1_900_000)) + _END,
    )
    yield (
        "png 1.9 million wide, 8 high",
        _head(1_900_000, 8, 8, 0) + chunk(b"IDAT", zeros(8 * 1_900_001)) + _END,
    )
    yield "png 16 bit grey", saved(Image.new("I;16", (64, 64), 40_000), "PNG")
    yield "png 16 bit colour", _head(16, 16, 16, 6) + _data(bytes(16 * (1 + 8 * 16))) + _END
    yield (
        "png palette index out of range",
        _head(16, 16, 8, 3)
        + chunk(b"PLTE", b"\x01\x02\x03\xff\xff\xff")
        + _data((b"\x00" + b"\xff" * 16) * 16)
        + _END,
    )
    yield "png without palette", _head(16, 16, 8, 3) + _data((b"\x00" + b"\xff" * 16) * 16) + _END
    yield (
        "png transparency too long",
        _head(16, 16, 8, 3)
        + chunk(b"PLTE", b"abc")
        + chunk(b"tRNS", b"\x00" * 4000)
        + _data((b"\x00" + b"\x00" * 16) * 16)
        + _END,
    )
    yield "png bit depth 3", _head(16, 16, 3, 2) + _data(b"\x00" * 800) + _END
    yield "png colour type 7", _head(16, 16, 8, 7) + _data(b"\x00" * 800) + _END
    yield "png interlaced and cut", _head(400, 400, 8, 2, 1) + _data(b"\x00" * 5000) + _END
    yield "png wrong filter bytes", _head(64, 64) + _data((b"\x09" + b"a" * 192) * 64) + _END
    for kind, name in ((b"zTXt", "text"), (b"iCCP", "profile")):
        bomb = chunk(kind, b"name\x00\x00" + zeros(100 << 20))
        yield f"png compressed {name} of 100 MB", sound[:start] + bomb + sound[start:]
    itxt = chunk(b"iTXt", b"name\x00\x01\x00\x00\x00" + zeros(900_000))
    yield "png 200 texts of a megabyte", sound[:start] + itxt * 200 + sound[start:]
    yield (
        "png text of 20 MB",
        sound[:start] + chunk(b"tEXt", b"a\x00" + b"b" * 20_000_000) + sound[start:],
    )
    yield "png chunk length 2^31 - 1", sound[:start] + b"\x7f\xff\xff\xffIDAT" + sound[start:]
    yield (
        "png 200000 empty data chunks",
        sound[:start] + chunk(b"IDAT", b"") * 200_000 + sound[start:],
    )
    frames = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    control = struct.pack(">IIIIIHHBB", 0, 2**31 - 1, 2**31 - 1, 2**30, 2**30, 1, 1, 0, 0)
    yield "png 2^31 - 1 frames", sound[:start] + frames + sound[start:]
    yield (
        "png frame out of the picture",
        sound[:start] + frames + chunk(b"fcTL", control) + sound[start:],
    )
    yield (
        "png animated",
        saved(
            street(),
            "PNG",
            save_all=True,
            append_images=[street().rotate(90), street().rotate(180)],
        ),
    )
    exif = b"II*\x00" + struct.pack("<IHHHII", 8, 1, 0x8769, 4, 1, 8)
    yield "png EXIF that points at itself", sound[:start] + chunk(b"eXIf", exif) + sound[start:]
