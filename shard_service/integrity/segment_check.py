"""Checks sealed segments and codebooks: against their manifests, and against the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shard_service.array_files import load_array
from shard_service.derived_files import ManifestError, checked_manifest
from shard_service.index.codebook import load_codebook
from shard_service.index.half_rows import map_half_rows
from shard_service.integrity.record_audit import RecordDamage
from shard_service.integrity.record_check import ImageRow
from shard_service.segments.sealed import VECTORS_FILE, PackedIds
from shard_service.store.images import PatchRows


@dataclass(frozen=True, eq=False, slots=True)
class StoredRows:
    """What the store says: `rows` of its images by id, `patches` of one of them, and the sequence
    that will be given next."""

    rows: dict[bytes, ImageRow]
    patches: Callable[[bytes, ImageRow], PatchRows | None]
    next_sequence: int


def check_segment(directory: Path, stored: StoredRows | None) -> Iterator[RecordDamage]:
    """What is wrong with one sealed segment.

    Every file against the manifest and, where `stored` is given, the rows of every live image
    against the store: ids, boxes, levels and vectors must be equal. Reads all the bytes.
    """
    place = f"segments/{directory.name}"
    try:
        checked_manifest(directory)
        table = _Table(directory)
    except (ManifestError, OSError, ValueError, KeyError, TypeError) as error:
        yield RecordDamage(place, b"", str(error))
        return
    fault = table.fault()
    if fault:
        yield RecordDamage(place, b"", fault)
    elif stored is not None:
        yield from _differences(place, table, stored)


def check_codebooks(directory: Path, codebook_id: str) -> Iterator[RecordDamage]:
    """What is wrong with the codebooks in `directory`, of which the store names one or none ("").

    One that the store names and that is not there is damage too: the next one trains anew.
    """
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    names = [path.name for path in paths if not path.name.startswith(".")]
    for name in names:
        try:
            load_codebook(directory / name)
        except ManifestError as error:
            yield RecordDamage(f"codebooks/{name}", b"", str(error))
    if codebook_id and codebook_id not in names:
        yield RecordDamage(f"codebooks/{codebook_id}", b"", "the store names it; it is missing")


class _Table:
    """The row table of a segment, read anew and without the index."""

    def __init__(self, directory: Path) -> None:
        self.boxes = load_array(directory / "boxes.npy")
        self.levels = load_array(directory / "levels.npy")
        self.row_images = load_array(directory / "row_images.npy")
        self.starts = load_array(directory / "image_starts.npy")
        self.image_rows = load_array(directory / "image_rows.npy").astype(np.int64)
        self.sequences = load_array(directory / "first_sequences.npy")
        self.id_ends = load_array(directory / "image_id_ends.npy")
        id_bytes = load_array(directory / "image_ids.npy")
        self.id_bytes = len(id_bytes)
        self.ids = PackedIds(id_bytes, self.id_ends)
        self.vectors = map_half_rows(directory / VECTORS_FILE)

    def fault(self) -> str:
        """What contradicts itself within the table; empty when nothing does."""
        rows, images = len(self.boxes), len(self.sequences)
        lengths = (len(self.levels), len(self.row_images), len(self.image_rows))
        if {*lengths, self.vectors.index.ntotal} != {rows}:
            return "its columns have different lengths"
        if len(self.starts) != images + 1 or len(self.id_ends) != images:
            return "its images are counted differently"
        counts = np.diff(self.starts)
        if self.starts[0] != 0 or self.starts[-1] != rows or (counts < 1).any():
            return "its images do not have its rows"
        if not np.array_equal(np.sort(self.image_rows), np.arange(rows)):
            return "it names rows twice, or not at all"
        if (np.repeat(np.arange(images), counts) != self.row_images[self.image_rows]).any():
            return "its rows belong to other images than it says"
        if (np.diff(self.sequences) <= 0).any() or (np.diff(self.id_ends) <= 0).any():
            return "its images are out of order"
        return "" if images and self.id_ends[-1] == self.id_bytes else "its ids are cut short"


def _differences(place: str, table: _Table, stored: StoredRows) -> Iterator[RecordDamage]:
    if len(table.sequences) and table.sequences[-1] >= stored.next_sequence:
        yield RecordDamage(place, b"", "it has rows of commits that the store does not have")
    holders = {row.first_sequence: key for key, row in stored.rows.items() if row.patch_count}
    for number, first in enumerate(table.sequences.tolist()):
        image_id = table.ids[number]
        if holders.get(first, image_id) != image_id:
            yield RecordDamage(place, holders[first], "its rows are those of another image")
            continue
        row = stored.rows.get(image_id)
        if row is None or row.tombstone or row.first_sequence != first:
            continue  # replaced or deleted since
        patches = stored.patches(image_id, row)
        if patches is None:
            continue  # told of the store already
        start, end = int(table.starts[number]), int(table.starts[number + 1])
        rows = table.image_rows[start:end]
        vectors = table.vectors.vectors(rows)
        same = (
            np.array_equal(table.boxes[rows], patches.boxes)
            and np.array_equal(table.levels[rows], patches.levels)
            # As bits, so that even what is no number compares.
            and np.array_equal(vectors.view("<u2"), patches.vectors.view("<u2"))
        )
        if not same:
            yield RecordDamage(place, image_id, "its rows differ from the store")
