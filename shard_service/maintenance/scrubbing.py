"""Reads through an open partition and mends what is damaged and can be derived again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from patchsearch.errors import DataLoss, ResourceExhausted, Unavailable
from service_runtime.logs import logger
from shard_service.checkpoint import Checkpoint
from shard_service.derived_files import ManifestError, checked_manifest, move_aside
from shard_service.segments.growing import GrowingSegment
from shard_service.segments.sealed import SealedSegment
from shard_service.segments.segment_set import SegmentSet
from shard_service.store.images import empty_patches
from shard_service.store.patch_store import PatchStore

_BATCH = 64
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written; `image_id` is empty where it is not one image."""

    place: str
    image_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What was read, and what of it is damaged."""

    images: int
    patches: int
    segments: int
    damages: tuple[Damage, ...]


def damaged_image(loss: DataLoss) -> Damage:
    """The damage of an image's records."""
    return Damage("lmdb", loss.metadata.get("image_id", ""), loss.message)


def check_records(
    store: PatchStore, checkpoint: Checkpoint, tell: Callable[[str], None]
) -> tuple[int, int, list[Damage]]:
    """Reads every record in short transactions; images, patches, and what fails its checksum.

    `tell` is told how far it is, in words.
    """
    images = patches = 0
    damages: list[Damage] = []
    after: bytes | None = b""
    while after is not None:
        checkpoint()
        tell(f"scrub: {images} images read")
        batch = store.check_images(after, _BATCH)
        images += batch.images
        patches += batch.patches
        damages.extend(map(damaged_image, batch.damages))
        after = batch.last_key
    return images, patches, damages


def check_filters(
    store: PatchStore,
    mend: Callable[[], None],
    checkpoint: Checkpoint,
    tell: Callable[[str], None],
) -> list[Damage]:
    """Compares the filter index with the images; where it differs, `mend` makes it anew.

    Where `mend` finds no room, or a disk that takes no writes, the damages say so. Call it on the
    builder's thread. One read of the store as of one moment: what is written meanwhile takes room
    of its own in the store's file.
    """
    read = 0

    def watched() -> None:
        nonlocal read
        checkpoint()
        tell(f"scrub: reading the filter index, step {read}")
        read += 1

    problems = store.filter_problems(watched)
    if not problems:
        return []
    log = logger("scrub").bind(partition=store.identity.partition_id)
    log.error("filter index is damaged; it is rebuilt", problems=len(problems), first=problems[0])
    tell("scrub: making the filter index anew")
    outcome = "made anew"
    try:
        mend()
    except (ResourceExhausted, Unavailable) as error:
        # What was found is worth telling without room, or on a disk that takes no writes.
        if error.reason == "NOT_READY":
            raise
        outcome = f"not made anew: {error.message}"
    told = problems[:_TOLD]
    if len(problems) > _TOLD:
        told.append(f"{len(problems) - _TOLD} more problems of the filter index")
    return [Damage("filters", "", f"{problem}; {outcome}") for problem in told]


def check_segments(
    segments: SegmentSet,
    store: PatchStore,
    files: threading.Lock,
    checkpoint: Checkpoint,
    tell: Callable[[str], None],
) -> tuple[int, list[Damage]]:
    """Compares the files of every sealed segment with their sums; how many, and the damage.

    A damaged segment is moved aside, and its rows are read from the store to grow again. Call it on
    the builder's thread.
    """
    log = logger("scrub").bind(partition=store.identity.partition_id)
    damages = []
    sealed = segments.sealed
    for done, segment in enumerate(sealed):
        checkpoint()
        tell(f"scrub: {done} of {len(sealed)} segments read")
        try:
            checked_manifest(segment.directory)
        except ManifestError as error:
            growing = _read_again(segment, store)
            with files:
                segments.replace([segment], None, growing)
                aside = move_aside(segment.directory)
            log.error("segment is damaged; it is rebuilt", error=str(error), moved_to=str(aside))
            place = f"segments/{segment.directory.name}"
            damages.append(Damage(place, "", f"{error}; moved to {aside.name} and rebuilt"))
    return len(sealed), damages


def _read_again(segment: SealedSegment, store: PatchStore) -> GrowingSegment:
    """The live images of a damaged segment, from the store alone; those that are damaged there
    are left out, and told when the records are read through."""
    growing = GrowingSegment(store.identity.dim)
    wanted = set(segment.live_sequences().tolist())
    images = [image for image in store.live_images(_told_before) if image.first_sequence in wanted]
    images.sort(key=lambda image: image.first_sequence)
    for image in store.with_patches(images, _told_before):
        patches = image.patches or empty_patches(store.identity.dim)
        growing.append(image.image.image_id, image.first_sequence, patches)
    return growing


def _told_before(damage: DataLoss) -> None:
    """Not a second time."""
