"""A partition's directory: `lmdb/` (the truth), `segments/` and `codebooks/` (derived)."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchsearch.errors import DataLoss, FailedPrecondition
from service_runtime.logs import logger
from shard_service.derived_files import (
    ManifestError,
    finished,
    move_aside,
    remove_directory,
    sync_path,
)
from shard_service.index.codebook import Codebook, SharedCodebooks, load_codebook
from shard_service.segments.growing import GrowingSegment
from shard_service.segments.sealed import SealedSegment
from shard_service.snapshots.staging import remove_leftovers
from shard_service.store.images import StoredImage, empty_patches
from shard_service.store.meta import Identity, create_environment
from shard_service.store.patch_store import PatchStore
from shard_service.store.stored_images import OnState

LMDB = "lmdb"
SEGMENTS = "segments"
CODEBOOKS = "codebooks"
UNFINISHED = ".unfinished-"

_READERS = 4


@dataclass(frozen=True, eq=False, slots=True)
class Recovered:
    """What opening found: sealed segments with their dead rows marked, and all other live rows.

    `images` counts live images; `failed_segments` were moved aside, their rows grow again;
    `damaged` are the images that fail their checksum in the store and are not searched.
    """

    sealed: list[SealedSegment]
    growing: GrowingSegment
    images: int
    failed_segments: int
    damaged: list[DataLoss]


def create_partition(directory: Path, identity: Identity, map_bytes: int) -> None:
    """Makes the directory of an empty partition, there completely or not at all."""
    temporary = directory.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    try:
        create_environment(temporary / LMDB, identity, map_bytes)
        (temporary / SEGMENTS).mkdir()
        (temporary / CODEBOOKS).mkdir()
        temporary.rename(directory)
        sync_path(directory.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def bytes_below(directory: Path) -> int:
    """Bytes of the files below `directory`, as long as they are."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def check_place(directory: Path, stored: str, expected: str) -> None:
    """Raises FailedPrecondition PARTITION_MISPLACED when `directory`, where the partition
    `expected` should lie, holds another one; "" expects none."""
    if expected and stored != expected:
        raise FailedPrecondition(
            "PARTITION_MISPLACED",
            f"{directory} holds the store of partition {stored}, not of {expected}: it is not "
            "opened; move it where it belongs",
            metadata={"expected": expected, "found": stored},
        )


def recover_segments(
    directory: Path,
    store: PatchStore,
    codebooks: SharedCodebooks,
    on_state: OnState,
) -> Recovered:
    """Opens the sealed segments that are whole and reads every other live row from the store.

    `on_state` is told of every record of an image that is whole, tombstones too.
    """
    log = logger("partition").bind(partition=store.identity.partition_id)
    remove_leftovers(directory)
    damaged: list[DataLoss] = []
    images = store.live_images(damaged.append, on_state)
    by_sequence = {image.first_sequence: image for image in images if image.patch_count}
    missing = np.sort(np.fromiter(by_sequence, np.int64, len(by_sequence)))
    opened, failed = _opened(directory / SEGMENTS, codebooks)
    strangers = [segment for segment in opened if not _fits(segment, by_sequence)]
    for segment in strangers:
        aside = move_aside(segment.directory)
        log.error("segment holds rows of other images; it is rebuilt", moved_to=str(aside))
        opened.remove(segment)
        failed += 1
    replaced = frozenset().union(*(segment.replaces for segment in opened))
    sealed = []
    for segment in opened:
        # Claimed one by one, so that no row is in two segments.
        alive = np.isin(segment.first_sequences, missing)
        if segment.directory.name in replaced or not alive.any():
            remove_directory(segment.directory)
            continue
        missing = np.setdiff1d(missing, segment.first_sequences, assume_unique=True)
        segment.keep_only(alive)
        sealed.append(segment)
    growing = GrowingSegment(store.identity.dim)
    ordered = [by_sequence[sequence] for sequence in missing.tolist()]
    for image in store.with_patches(ordered, damaged.append):
        patches = image.patches or empty_patches(store.identity.dim)
        growing.append(image.image.image_id, image.first_sequence, patches)
    for damage in damaged:
        log.error("image is damaged and not searched", error=damage.message)
    return Recovered(sealed, growing, len(images), failed, damaged)


def _fits(segment: SealedSegment, by_sequence: Mapping[int, StoredImage]) -> bool:
    """Whether the rows that the store has, too, are those of the same images."""
    table = segment.view().table
    counts = np.diff(table.image_starts).tolist()
    for place, first in enumerate(table.first_sequences.tolist()):
        stored = by_sequence.get(first)
        if stored is None:
            continue
        if stored.patch_count != counts[place] or stored.image.image_id != table.image_ids[place]:
            return False
    return True


def open_codebook(directory: Path, codebook_id: str, codebooks: SharedCodebooks) -> Codebook | None:
    """The codebook that the store names; None where there is none, or where it is damaged.

    A damaged one is moved aside: segments hold what they need, and the next one trains anew.
    """
    finished(directory / CODEBOOKS)
    if not codebook_id:
        return None
    path = directory / CODEBOOKS / codebook_id
    try:
        return codebooks.add(load_codebook(path))
    except ManifestError as error:
        logger("partition").error("codebook is damaged; a new one is trained", error=str(error))
        if path.exists():
            move_aside(path)
        return None


def _opened(parent: Path, codebooks: SharedCodebooks) -> tuple[list[SealedSegment], int]:
    """The segments that are whole, by name, and how many were moved aside."""

    def attempt(path: Path) -> SealedSegment | None:
        try:
            return SealedSegment(path, codebooks)
        except ManifestError as error:
            aside = move_aside(path)
            logger("partition").error(
                "segment is damaged; it is rebuilt", error=str(error), moved_to=str(aside)
            )
            return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="open") as readers:
        segments = list(readers.map(attempt, finished(parent)))
    whole = [segment for segment in segments if segment is not None]
    return whole, len(segments) - len(whole)
