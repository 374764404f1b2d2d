"""Checks the records of a store against their checksums and against each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from shard_service.integrity.record_check import (
    ImageRow,
    filter_is_whole,
    image_row,
    patch_dim,
    patch_owner,
)
from shard_service.store.meta import Identity

Item = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RecordDamage:
    """What is wrong, where (`place`: a file or database), and with which image, where one is
    known (UTF-8 bytes, or empty)."""

    place: str
    image_id: bytes
    detail: str


class RecordAudit:
    """Takes all records of a store and tells what is wrong; first the images, then the patches.

    `identity` is None where it cannot be told. Not thread-safe.
    """

    def __init__(self, identity: Identity | None, store_format: int) -> None:
        self._identity = identity
        self._format = store_format
        self._damaged: set[bytes] = set()
        self._orphans: dict[bytes, int] = {}
        self.rows: dict[bytes, ImageRow] = {}
        self.damages: list[RecordDamage] = []
        self.patches = 0

    def take_images(self, items: Iterable[Item]) -> None:
        """Checks every image record: its checksum, and that it belongs into this partition."""
        for key, record in items:
            row = image_row(key, record, self._format)
            if row is None:
                self._report("images", key, "its record fails its checksum")
                self._damaged.add(key)
                continue
            self.rows[key] = row
            mine = self._identity
            if mine and not mine.hash_start <= xxhash.xxh64_intdigest(key) <= mine.hash_end:
                self._report("images", key, "it belongs to another partition")

    def take_patches(self, items: Iterable[Item]) -> None:
        """Checks every patch record, in the order of the sequences, and that an image has it."""
        rows = iter(sorted((row.first_sequence, key) for key, row in self._with_patches()))
        first, key = next(rows, (-1, b""))
        found = 0
        for raw, record in items:
            sequence = int.from_bytes(raw, "big")
            while key and sequence >= self.rows[key].end:
                self._finish(key, found)
                (first, key), found = next(rows, (-1, b"")), 0
            self.patches += 1
            wanted = key if key and sequence >= first else b""
            found += bool(wanted)
            self._take_patch(raw, sequence, record, wanted)
        while key:
            self._finish(key, found)
            (first, key), found = next(rows, (-1, b"")), 0
        for owner, count in self._orphans.items():
            # The patches of an image whose record is damaged were told with it.
            if owner not in self._damaged:
                self._report("patches", owner, f"{count} of its patches are in no image")

    def take_filters(self, items: Iterable[Item]) -> None:
        """Checks every value of the filter index against its checksum."""
        for key, value in items:
            if not filter_is_whole(key, value):
                self._report("filters", b"", f"the value of {key.hex()} fails its checksum")

    def check_next_sequence(self, next_sequence: int) -> None:
        """Checks that no sequence that is taken would be given again."""
        last = max((row.end for _, row in self._with_patches()), default=0)
        if next_sequence < last:
            self._report("meta", b"", f"next_sequence is {next_sequence}, but {last - 1} is taken")

    def _with_patches(self) -> list[tuple[bytes, ImageRow]]:
        return [(key, row) for key, row in self.rows.items() if row.patch_count]

    def _take_patch(self, raw: bytes, sequence: int, record: bytes, wanted: bytes) -> None:
        owner = patch_owner(record)
        if owner is None or len(raw) != 8:
            self._report("patches", wanted, f"patch {sequence} fails its checksum")
        elif not wanted:
            self._orphans[owner] = self._orphans.get(owner, 0) + 1
        elif owner != wanted:
            name = owner.decode("utf-8", "replace")
            self._report("patches", wanted, f"patch {sequence} is of image {name!r}")
        elif self._identity and patch_dim(record) != self._identity.dim:
            self._report("patches", wanted, f"patch {sequence} has {patch_dim(record)} numbers")

    def _finish(self, key: bytes, found: int) -> None:
        count = self.rows[key].patch_count
        if found != count:
            self._report("patches", key, f"{count - found} of its {count} patches are missing")

    def _report(self, place: str, image_id: bytes, detail: str) -> None:
        self.damages.append(RecordDamage(place, image_id, detail))
