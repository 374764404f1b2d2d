"""Bitmaps of sequences: as they lie in LMDB, chunk by chunk, and as one whole in memory.

Under the key of a term and a chunk (`shard_service.filters.terms`) lie

    offset  size  field
         0     4  CRC32C of the key and of everything behind these 4 bytes, little-endian
         4     -  the lower 32 bits of the sequences as a Roaring bitmap, portable format,
                  run-optimised

An image is known by the sequence of its first patch, which no other image ever has.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any

import google_crc32c
import lmdb
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap, BitMap64

from shard_service.filters.damage import FiltersDamaged
from shard_service.filters.terms import chunk_start

_CRC = struct.Struct("<I")
_COUNT = struct.Struct("<Q")
_HIGH = struct.Struct("<I")


def encode_bitmap(key: bytes, bitmap: BitMap) -> bytes:
    """The value of one chunk; `bitmap` is run-optimised on the way."""
    bitmap.run_optimize()
    body: bytes = bitmap.serialize()
    return _CRC.pack(google_crc32c.value(key + body)) + body


def decode_bitmap(key: bytes, value: bytes) -> BitMap:
    """The lower 32 bits of a chunk's sequences; raises FiltersDamaged."""
    body = value[4:]
    if len(value) < 4 or _CRC.unpack_from(value)[0] != google_crc32c.value(key + body):
        raise FiltersDamaged(key)
    return BitMap.deserialize(body)


def read_term(txn: lmdb.Transaction[bytes], filters: Any, term: bytes) -> BitMap64:
    """All sequences of a term; raises FiltersDamaged."""
    chunks: dict[int, list[BitMap]] = {}
    with txn.cursor(db=filters) as cursor:
        if cursor.set_range(term):
            for key, value in cursor:
                if not key.startswith(term):
                    break
                chunks.setdefault(chunk_start(key) >> 32, []).append(decode_bitmap(key, value))
    return _joined({high: BitMap.union(*parts) for high, parts in chunks.items()})


def from_sequences(sequences: NDArray[np.int64]) -> BitMap64:
    """The bitmap of (n,) sequences in any order."""
    whole = {}
    highs = sequences >> 32
    for high in np.unique(highs):
        # pyroaring reads this kind of array at once, and every other number by number.
        lows = array("I")
        lows.frombytes(sequences[highs == high].astype(np.uint32).tobytes())
        whole[int(high)] = BitMap(lows)
    return _joined(whole)


def to_sequences(bitmap: BitMap64) -> NDArray[np.int64]:
    """The (n,) sequences of a bitmap, ascending."""
    return np.frombuffer(bitmap.to_array(), np.uint64).view(np.int64)


def _joined(whole: dict[int, BitMap]) -> BitMap64:
    """One bitmap of 64-bit numbers from its parts with equal upper halves, ascending."""
    parts = [_COUNT.pack(len(whole))]
    for high, bitmap in whole.items():
        parts += (_HIGH.pack(high), bitmap.serialize())
    # What the portable format of 64 bits looks like; pyroaring has no shorter way.
    return BitMap64.deserialize(b"".join(parts))
