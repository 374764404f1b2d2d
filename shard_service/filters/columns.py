"""Columns of numbers and times: what ranges, and equality of numbers, are answered from.

Under the key of a column and a chunk (`shard_service.filters.terms`) lie

    offset  size  field
         0     4  CRC32C of the key and of everything behind these 4 bytes, little-endian
         4  10 n  n rows: value (f64 of a number, i64 of a time: `shard_service.filters.times`)
                  and the lower 16 bits of the sequence, little-endian, sequences ascending

A range reads the whole column, which is short (10 bytes a value) and compared at once, and so
costs the same however many distinct values there are and however many of them it takes. A write
appends one row where a tree of ranges would change one bitmap for each of its levels.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import google_crc32c
import lmdb
import numpy as np
from numpy.typing import NDArray

from shard_service.filters.damage import FiltersDamaged
from shard_service.filters.terms import chunk_start

_CRC = struct.Struct("<I")
_LOW = struct.Struct("<H")
_NUMBERS = np.dtype([("value", "<f8"), ("low", "<u2")])
_TIMES = np.dtype([("value", "<i8"), ("low", "<u2")])
ROW_BYTES = 10

Condition = Callable[[NDArray[Any]], NDArray[np.bool_]]
"""From (n,) values, float64 or int64, to the (n,) bool of those that meet it."""


def encode_row(value: bytes, sequence: int) -> bytes:
    """One row: the 8 bytes of the value and the sequence's place in its chunk."""
    return value + _LOW.pack(sequence & 0xFFFF)


def appended(key: bytes, column: bytes | None, rows: Iterable[bytes]) -> bytes:
    """The column with rows behind it.

    Damage is not looked for, and not covered up either. Raises FiltersDamaged for what is no
    column at all.
    """
    added = b"".join(rows)
    if column is None:
        return _CRC.pack(google_crc32c.value(key + added)) + added
    if len(column) < _CRC.size:
        raise FiltersDamaged(key)
    # The sum goes on from the stored one, so a column that did not fit it does not fit it now.
    crc = google_crc32c.extend(_CRC.unpack_from(column)[0], added)
    return b"".join((_CRC.pack(crc), column[4:], added))


def without(key: bytes, column: bytes, sequences: Iterable[int]) -> bytes | None:
    """The column without the rows of some sequences of its chunk; None when none is left.

    Raises FiltersDamaged.
    """
    rows = np.frombuffer(checked_rows(key, column), _NUMBERS)
    gone = np.fromiter((sequence & 0xFFFF for sequence in sequences), np.uint16)
    kept = rows[~np.isin(rows["low"], gone)].tobytes()
    return appended(key, None, [kept]) if kept else None


def checked_rows(key: bytes, column: bytes) -> bytes:
    """The rows of a column; raises FiltersDamaged."""
    rows = column[4:]
    good = len(column) >= 4 and len(rows) % ROW_BYTES == 0
    if not good or _CRC.unpack_from(column)[0] != google_crc32c.value(key + rows):
        raise FiltersDamaged(key)
    return rows


def read_column(
    txn: lmdb.Transaction[bytes], filters: Any, term: bytes, condition: Condition
) -> NDArray[np.int64]:
    """The (n,) sequences with a value that meets `condition`; some may come more than once.

    Raises FiltersDamaged.
    """
    parts, starts, counts = [], [], []
    with txn.cursor(db=filters) as cursor:
        if cursor.set_range(term):
            for key, column in cursor:
                if not key.startswith(term):
                    break
                parts.append(checked_rows(key, column))
                starts.append(chunk_start(key))
                counts.append(len(parts[-1]) // ROW_BYTES)
    rows = np.frombuffer(b"".join(parts), _TIMES if term[:1] == b"t" else _NUMBERS)
    met = np.flatnonzero(condition(rows["value"]))
    bases = np.repeat(np.array(starts, np.int64), counts)
    sequences: NDArray[np.int64] = bases[met] | rows["low"][met]
    return sequences
