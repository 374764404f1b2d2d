"""What the filter index knows an image by, and how the keys of the database `filters` look.

A key is a term and, behind it, the number of a chunk of sequences (u32, big-endian). Terms:

    75 ff                         every image that has patches
    65 path ff                    images that have the field, whatever it holds but null
    73 path ff text ff            images whose field holds this string
    62 path ff 66|74 ff           images whose field holds false, true
    6e path ff                    column of the numbers that the field holds
    74 path ff                    column of the times that the field holds

A path is the keys that lead to the field (UTF-8) joined by fe. UTF-8 never has fd, fe or ff in it,
so no term begins with another one. A path or text longer than 200 bytes is stored as fd and its
32-byte BLAKE2b digest, which keeps every key below LMDB's 511 bytes: nothing but equality is asked
of it. Values under the first four are described in `shard_service.filters.bitmaps`, columns in
`shard_service.filters.columns`.

A list gives the terms of all its elements under its own path. An object within it, or anywhere,
exists itself and gives the terms of its fields. Bytes that are no google.protobuf.Struct hold no
fields.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from shard_service.filters.times import micros_in

EVERY_IMAGE = b"u\xff"

_SEPARATOR = b"\xfe"
_END = b"\xff"
_DIGEST = b"\xfd"
_LITERAL_BYTES = 200
_NUMBER = struct.Struct("<d")
_TIME = struct.Struct("<q")
_CHUNK = struct.Struct(">I")

CHUNK_BITS = 16
"""A chunk is the sequences that differ in their lowest 16 bits alone."""


@dataclass(frozen=True, eq=False, slots=True)
class ImageTerms:
    """The terms of one image: those with a bitmap, and (term, 8 bytes of value) of columns."""

    bits: frozenset[bytes]
    values: frozenset[tuple[bytes, bytes]]


_NO_FIELDS = ImageTerms(frozenset((EVERY_IMAGE,)), frozenset())


def terms_of(metadata: bytes) -> ImageTerms:
    """The terms of an image with this metadata, a serialised google.protobuf.Struct."""
    if not metadata:
        return _NO_FIELDS
    try:
        message = Struct.FromString(metadata)
    except DecodeError:
        return _NO_FIELDS
    bits = {EVERY_IMAGE}
    values: set[tuple[bytes, bytes]] = set()
    waiting: list[tuple[bytes, Value]] = [
        (key.encode("utf-8"), value) for key, value in message.fields.items()
    ]
    while waiting:
        path, value = waiting.pop()
        kind = value.WhichOneof("kind")
        if kind is None or kind == "null_value":
            continue
        ended = _bounded(path) + _END
        bits.add(b"e" + ended)
        if kind == "string_value":
            text = value.string_value
            bits.add(b"s" + ended + _bounded(text.encode("utf-8")) + _END)
            micros = micros_in(text)
            if micros is not None:
                values.add((b"t" + ended, _TIME.pack(micros)))
        elif kind == "number_value":
            number = value.number_value
            # NaN equals nothing and lies in no range.
            if number == number:
                values.add((b"n" + ended, _NUMBER.pack(number)))
        elif kind == "bool_value":
            bits.add(b"b" + ended + (b"t" if value.bool_value else b"f") + _END)
        elif kind == "struct_value":
            for key, item in value.struct_value.fields.items():
                waiting.append((path + _SEPARATOR + key.encode("utf-8"), item))
        else:
            waiting.extend((path, item) for item in value.list_value.values)
    return ImageTerms(frozenset(bits), frozenset(values))


def exists_term(path: Sequence[str]) -> bytes:
    """The term of images that have the field."""
    return b"e" + _ended(path)


def text_term(path: Sequence[str], text: str) -> bytes:
    """The term of images whose field holds `text`."""
    return b"s" + _ended(path) + _bounded(_utf8(text)) + _END


def flag_term(path: Sequence[str], flag: bool) -> bytes:
    """The term of images whose field holds `flag`."""
    return b"b" + _ended(path) + (b"t" if flag else b"f") + _END


def number_column(path: Sequence[str]) -> bytes:
    """The column of the field's numbers."""
    return b"n" + _ended(path)


def time_column(path: Sequence[str]) -> bytes:
    """The column of the field's times."""
    return b"t" + _ended(path)


def chunk_key(term: bytes, sequence: int) -> bytes:
    """The key of the chunk of `term` that `sequence` falls into."""
    return term + _CHUNK.pack(sequence >> CHUNK_BITS)


def chunk_start(key: bytes) -> int:
    """The first sequence of the chunk that a key names."""
    first: int = _CHUNK.unpack_from(key, len(key) - 4)[0]
    return first << CHUNK_BITS


def is_column(key: bytes) -> bool:
    """Whether a column lies under this key, or else a bitmap."""
    return key[:1] in (b"n", b"t")


def _ended(path: Sequence[str]) -> bytes:
    return _bounded(_SEPARATOR.join(map(_utf8, path))) + _END


def _utf8(text: str) -> bytes:
    # A lone surrogate cannot be stored, so what it becomes here equals nothing.
    return text.encode("utf-8", "surrogatepass")


def _bounded(data: bytes) -> bytes:
    if len(data) <= _LITERAL_BYTES:
        return data
    return _DIGEST + hashlib.blake2b(data, digest_size=32).digest()
