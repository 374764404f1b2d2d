"""What a transaction changes in the filter index, collected and then written once for each key."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import lmdb
from pyroaring import BitMap

from shard_service.filters.bitmaps import decode_bitmap, encode_bitmap
from shard_service.filters.columns import appended, encode_row, without
from shard_service.filters.terms import ImageTerms, chunk_key

_LOW = 0xFFFF_FFFF


class FilterChanges:
    """The images that come and go, by the keys of the filter index that they touch.

    An image is known by its first sequence, which is never given twice: one that comes and goes
    in the same transaction is gone. Not thread-safe.
    """

    def __init__(self) -> None:
        self._bits: defaultdict[bytes, list[int]] = defaultdict(list)
        self._bits_gone: defaultdict[bytes, list[int]] = defaultdict(list)
        self._rows: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._rows_gone: defaultdict[bytes, list[int]] = defaultdict(list)

    def add(self, first_sequence: int, terms: ImageTerms) -> None:
        """An image has come; in the order of the sequences."""
        low = first_sequence & _LOW
        for term in terms.bits:
            self._bits[chunk_key(term, first_sequence)].append(low)
        for term, value in terms.values:
            row = encode_row(value, first_sequence)
            self._rows[chunk_key(term, first_sequence)].append(row)

    def remove(self, first_sequence: int, terms: ImageTerms) -> None:
        """An image that had these terms has gone."""
        low = first_sequence & _LOW
        for term in terms.bits:
            self._bits_gone[chunk_key(term, first_sequence)].append(low)
        for term in {term for term, _ in terms.values}:
            self._rows_gone[chunk_key(term, first_sequence)].append(first_sequence)

    def write(self, txn: lmdb.Transaction[bytes], filters: Any) -> None:
        """Applies everything within `txn`, in the order of the keys.

        Raises FiltersDamaged for a value that was to be changed and fails its checksum; the
        changes before it are made then.
        """
        for key in sorted(self._bits.keys() | self._bits_gone.keys()):
            self._write_bitmap(txn, filters, key)
        for key in sorted(self._rows.keys() | self._rows_gone.keys()):
            self._write_column(txn, filters, key)

    def _write_bitmap(self, txn: lmdb.Transaction[bytes], filters: Any, key: bytes) -> None:
        stored = txn.get(key, db=filters)
        bitmap = BitMap() if stored is None else decode_bitmap(key, stored)
        bitmap.update(self._bits.get(key, ()))
        bitmap.difference_update(BitMap(self._bits_gone.get(key, ())))
        if bitmap:
            txn.put(key, encode_bitmap(key, bitmap), db=filters)
        elif stored is not None:
            txn.delete(key, db=filters)

    def _write_column(self, txn: lmdb.Transaction[bytes], filters: Any, key: bytes) -> None:
        stored = txn.get(key, db=filters)
        column = stored
        if key in self._rows:
            column = appended(key, column, self._rows[key])
        if column is not None and key in self._rows_gone:
            column = without(key, column, self._rows_gone[key])
        if column is not None:
            txn.put(key, column, db=filters)
        elif stored is not None:
            txn.delete(key, db=filters)
