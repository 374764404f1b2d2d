"""A partition's directory: `lmdb/` (the truth), `segments/` and `codebooks/` (derived)."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchsearch.errors import DataLoss
from service_runtime.logs import logger
from shard_service.derived_files import ManifestError, finished, move_aside, sync_path
from shard_service.index.codebook import Codebook, load_codebook
from shard_service.segments.growing import GrowingSegment
from shard_service.segments.sealed import SealedSegment
from shard_service.store.images import empty_patches
from shard_service.store.meta import Identity, create_environment
from shard_service.store.patch_store import PatchStore

LMDB = "lmdb"
SEGMENTS = "segments"
CODEBOOKS = "codebooks"
UNFINISHED = ".unfinished-"


@dataclass(frozen=True, eq=False, slots=True)
class Recovered:
    """What opening found: sealed segments with their dead rows marked, and all other live rows.

    `images` counts live images; `failed_segments` were moved aside, their rows grow again;
    `damaged_images` fail their checksum in the store and are not searched.
    """

    sealed: list[SealedSegment]
    growing: GrowingSegment
    images: int
    failed_segments: int
    damaged_images: int


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


def recover_segments(directory: Path, store: PatchStore) -> Recovered:
    """Opens the sealed segments that are whole and reads every other live row from the store."""
    log = logger("partition").bind(partition=store.identity.partition_id)
    damaged: list[DataLoss] = []
    images = store.live_images(damaged.append)
    missing = {image.first_sequence: image for image in images if image.patch_count}
    sealed, failed = [], 0
    for path in finished(directory / SEGMENTS):
        try:
            segment = SealedSegment(path)
        except ManifestError as error:
            aside = move_aside(path)
            failed += 1
            log.error("segment is damaged; it is rebuilt", error=str(error), moved_to=str(aside))
            continue
        # Claimed one by one, so that no row is in two segments.
        alive = np.array([missing.pop(int(at), None) is not None for at in segment.first_sequences])
        segment.keep_only(alive)
        if segment.live_rows:
            sealed.append(segment)
        else:
            shutil.rmtree(path)
    growing = GrowingSegment(store.identity.dim)
    ordered = [missing[sequence] for sequence in sorted(missing)]
    for image in store.with_patches(ordered, damaged.append):
        patches = image.patches or empty_patches(store.identity.dim)
        growing.append(image.image.image_id, image.first_sequence, patches)
    for damage in damaged:
        log.error("image is damaged and not searched", error=damage.message)
    return Recovered(sealed, growing, len(images), failed, len(damaged))


def open_codebook(directory: Path, codebook_id: str) -> Codebook | None:
    """The codebook that the store names; None where there is none, or where it is damaged.

    A damaged one is moved aside: segments hold what they need, and the next one trains anew.
    """
    finished(directory / CODEBOOKS)
    if not codebook_id:
        return None
    path = directory / CODEBOOKS / codebook_id
    try:
        return load_codebook(path)
    except ManifestError as error:
        logger("partition").error("codebook is damaged; a new one is trained", error=str(error))
        if path.exists():
            move_aside(path)
        return None
