"""Compares the filter index with what the image records say, for the offline check of a store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeVar

import lmdb
import numpy as np
from pyroaring import BitMap

from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.filters.bitmaps import decode_bitmap
from shard_service.filters.columns import ROW_BYTES, checked_rows, encode_row
from shard_service.filters.damage import FiltersDamaged
from shard_service.filters.rebuild import indexed_images
from shard_service.filters.terms import CHUNK_BITS, chunk_key, chunk_start, is_column, terms_of
from shard_service.store.databases import Databases

_LOW = 0xFFFF_FFFF
_STEP = 256

_Item = TypeVar("_Item")


def check(
    txn: lmdb.Transaction[bytes],
    databases: Databases,
    checkpoint: Checkpoint = no_checkpoint,
) -> Iterator[str]:
    """Each problem of the filter index, in words; nothing when it says what the images do.

    Problems are values that fail their checksum, images that are missing under a term that they
    have, and images under terms that they have not. Sequences of images that are not stored (any
    more) or whose records are damaged are none: no answer shows them. Reads all images twice and
    the index once; holds a chunk's terms and all sequences in memory. `checkpoint` is called every
    few images and values and may raise to give up.
    """
    live = _live_by_chunk(txn, databases, checkpoint)
    entries: Counter[int] = Counter()
    in_doubt = set()
    with txn.cursor(db=databases.filters) as cursor:
        for key, value in _watched(cursor, checkpoint):
            start = chunk_start(key)
            try:
                entries[start] += _live_entries(key, value, live.get(start, BitMap()))
            except FiltersDamaged as damage:
                in_doubt.add(start)
                yield damage.message
    images = _watched(indexed_images(txn, databases), checkpoint)
    for start, of_chunk in groupby(images, lambda image: image[0] >> CHUNK_BITS << CHUNK_BITS):
        expected = _Expected(of_chunk)
        for problem in expected.missing(txn, databases):
            in_doubt.add(start)
            yield problem
        if start not in in_doubt and entries[start] != expected.entries:
            yield (
                f"the filter index holds {entries[start] - expected.entries} entries too many for "
                f"images with first sequences from {start} to {start + (1 << CHUNK_BITS) - 1}"
            )


class _Expected:
    """What the index should hold for the images of one chunk."""

    def __init__(self, images: Iterable[tuple[int, bytes]]) -> None:
        self._under: defaultdict[bytes, set[int | bytes]] = defaultdict(set)
        for sequence, metadata in images:
            terms = terms_of(metadata)
            for term in terms.bits:
                self._under[chunk_key(term, sequence)].add(sequence & _LOW)
            for term, value in terms.values:
                self._under[chunk_key(term, sequence)].add(encode_row(value, sequence))

    @property
    def entries(self) -> int:
        """Images under terms, and rows of columns."""
        return sum(map(len, self._under.values()))

    def missing(self, txn: lmdb.Transaction[bytes], databases: Databases) -> Iterator[str]:
        """The keys under which something is missing; not those that are damaged."""
        for key, expected in self._under.items():
            value = txn.get(key, db=databases.filters)
            try:
                stored = set() if value is None else _contents(key, value)
            except FiltersDamaged:
                continue
            if absent := len(expected - stored):
                yield f"the filter index lacks {absent} entries under key {key.hex()}"


def _watched(items: Iterable[_Item], checkpoint: Checkpoint) -> Iterator[_Item]:
    for done, item in enumerate(items):
        if done % _STEP == 0:
            checkpoint()
        yield item


def _contents(key: bytes, value: bytes) -> set[int | bytes]:
    if not is_column(key):
        return set(decode_bitmap(key, value))
    rows = checked_rows(key, value)
    return {rows[at : at + ROW_BYTES] for at in range(0, len(rows), ROW_BYTES)}


def _live_entries(key: bytes, value: bytes, live: BitMap) -> int:
    if not is_column(key):
        count: int = decode_bitmap(key, value).intersection_cardinality(live)
        return count
    rows = np.frombuffer(checked_rows(key, value), np.uint8).reshape(-1, ROW_BYTES)
    lows = np.ascontiguousarray(rows[:, 8:]).view("<u2")[:, 0]
    alive = np.array([low & 0xFFFF for low in live], np.uint16)
    return int(np.isin(lows, alive).sum())


def _live_by_chunk(
    txn: lmdb.Transaction[bytes], databases: Databases, checkpoint: Checkpoint
) -> dict[int, BitMap]:
    live: defaultdict[int, BitMap] = defaultdict(BitMap)
    for sequence, _ in _watched(indexed_images(txn, databases), checkpoint):
        live[sequence >> CHUNK_BITS << CHUNK_BITS].add(sequence & _LOW)
    return live
