"""Digests of what a partition stores, per range of hashes: equal digests, equal contents.

A record counts as the 128 bits XXH3 of its image_id, its version (u64, little-endian) and whether
it is a deletion (u8); a digest is the XOR of those of its records, so their order does not matter
and a change costs two XORs.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import xxhash

from shard_service.store.images import RecordState

BUCKETS = 4096
"""Into how many equal parts a partition's range is cut to keep digests of."""

MAX_PARTS = 4096
_STATE = struct.Struct("<QB")


@dataclass(frozen=True, slots=True)
class RangeDigest:
    """The records, tombstones counted, whose hashes are `hash_start` to `hash_end` inclusive."""

    hash_start: int
    hash_end: int
    records: int
    digest: int

    @property
    def digest_bytes(self) -> bytes:
        """16 bytes, big-endian."""
        return self.digest.to_bytes(16, "big")


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a whole partition: its records, how many of them are tombstones, their digest."""

    records: int
    tombstones: int
    digest: int


def hash_of(key: bytes) -> int:
    """The hash that places an image: xxh64 of its id's UTF-8 bytes, seed 0."""
    return int(xxhash.xxh64_intdigest(key))


def record_digest(key: bytes, state: RecordState) -> int:
    """What one record counts as, 128 bits."""
    return int(xxhash.xxh3_128_intdigest(key + _STATE.pack(state.version, state.deleted)))


class Cut:
    """A range of hashes in parts of equal width: part i of n starts width * i // n behind the
    range's start. There are never more parts than hashes."""

    def __init__(self, hash_start: int, hash_end: int, parts: int) -> None:
        self.start = hash_start
        self.width = hash_end - hash_start + 1
        self.parts = min(parts, self.width)

    def part_of(self, value: int) -> int:
        """The part that holds a hash of the range."""
        return ((value - self.start + 1) * self.parts - 1) // self.width

    def bounds(self) -> list[int]:
        """The first hash of each part, and at the end the one behind the last part."""
        return [self.start + self.width * part // self.parts for part in range(self.parts + 1)]

    def digests(self, records: Iterable[tuple[int, int]]) -> list[RangeDigest]:
        """Of each part, from (hash, digest) of records within the range."""
        counts, sums = [0] * self.parts, [0] * self.parts
        for value, digest in records:
            part = self.part_of(value)
            counts[part] += 1
            sums[part] ^= digest
        return self.ranges(counts, sums)

    def ranges(self, counts: Sequence[int], sums: Sequence[int]) -> list[RangeDigest]:
        """Of each part, from their counts and digests."""
        bounds = self.bounds()
        return [
            RangeDigest(bounds[part], bounds[part + 1] - 1, counts[part], sums[part])
            for part in range(self.parts)
        ]


class PartitionDigests:
    """The digests of a partition in buckets, in memory. Thread-safe.

    Whoever changes the store tells it of each change, once. Images that are damaged are left out,
    so that a replica with damage is unlike one without.
    """

    def __init__(self, hash_start: int, hash_end: int) -> None:
        self._cut = Cut(hash_start, hash_end, BUCKETS)
        self._counts = [0] * self._cut.parts
        self._deleted = [0] * self._cut.parts
        self._sums = [0] * self._cut.parts
        self._records = self._tombstones = self._digest = 0
        self._newest = 0
        self._left_out: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, key: bytes, state: RecordState) -> None:
        """Notes a record that is there."""
        bucket, digest = self._cut.part_of(hash_of(key)), record_digest(key, state)
        with self._lock:
            self._newest = max(self._newest, state.version)
            self._count(bucket, digest, 1, state.deleted)

    def changed(
        self, changes: Iterable[tuple[bytes, RecordState | None, RecordState | None]]
    ) -> None:
        """Notes of images what was stored of them, and what is; None for no record."""
        with self._lock:
            for key, before, after in changes:
                bucket = self._cut.part_of(hash_of(key))
                if key in self._left_out:
                    self._count(bucket, *self._left_out.pop(key))
                if before is not None:
                    self._count(bucket, record_digest(key, before), -1, -before.deleted)
                if after is not None:
                    self._newest = max(self._newest, after.version)
                    self._count(bucket, record_digest(key, after), 1, after.deleted)

    def leave_out(self, key: bytes, state: RecordState | None) -> None:
        """Leaves an image out that turned out to be damaged, until it is changed.

        `state` is what its record says, None where that is damaged itself: it may have been counted
        when it was whole, and is made to look like no record at all.
        """
        with self._lock:
            if key in self._left_out:
                return
            digest = record_digest(key, state or RecordState(0, False))
            records = 0 if state is None else 1
            self._left_out[key] = digest, records
            self._count(self._cut.part_of(hash_of(key)), digest, -records)

    def put_back(self, keys: Iterable[bytes]) -> None:
        """Undoes `leave_out` of images that were changed in the meantime."""
        with self._lock:
            for key in keys:
                if key in self._left_out:
                    self._count(self._cut.part_of(hash_of(key)), *self._left_out.pop(key))

    def recount(
        self, key: bytes, records: Callable[[int, int], Iterable[tuple[bytes, RecordState]]]
    ) -> None:
        """Counts the bucket of `key` anew, after a change of what nobody knows how it was counted.

        `records` gives those in a range of hashes. For the one who writes the store, between two
        changes.
        """
        bounds = self._cut.bounds()
        bucket = self._cut.part_of(hash_of(key))
        counted = list(records(bounds[bucket], bounds[bucket + 1] - 1))
        with self._lock:
            self._count(bucket, self._sums[bucket], -self._counts[bucket], -self._deleted[bucket])
            for one, state in counted:
                if one not in self._left_out:
                    self._count(bucket, record_digest(one, state), 1, state.deleted)

    def totals(self) -> Totals:
        """Of everything."""
        with self._lock:
            return Totals(self._records, self._tombstones, self._digest)

    @property
    def newest_version(self) -> int:
        """The highest version that was ever added, 0 before there is one."""
        return self._newest

    def _count(self, bucket: int, digest: int, records: int, deleted: int = 0) -> None:
        """Adds a digest, or takes it away, which is the same, and numbers of records."""
        self._counts[bucket] += records
        self._deleted[bucket] += deleted
        self._sums[bucket] ^= digest
        self._records += records
        self._tombstones += deleted
        self._digest ^= digest

    def ranges(self, hash_start: int, hash_end: int, parts: int) -> list[RangeDigest] | None:
        """The digests of the parts of a range; None where they do not consist of whole buckets."""
        wanted = Cut(hash_start, hash_end, parts)
        buckets = []
        for bound in wanted.bounds():
            behind = bound - self._cut.start
            bucket = ((behind + 1) * self._cut.parts - 1) // self._cut.width
            if self._cut.width * bucket // self._cut.parts != behind:
                return None
            buckets.append(bucket)
        counts, sums = [], []
        with self._lock:
            for first, last in pairwise(buckets):
                digest = 0
                for one in self._sums[first:last]:
                    digest ^= one
                counts.append(sum(self._counts[first:last]))
                sums.append(digest)
        return wanted.ranges(counts, sums)
