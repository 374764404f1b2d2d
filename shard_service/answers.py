"""What a partition answers, and how answers of partitions become one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from shard_service.maintenance.recall import MeasuredRecall
from shard_service.search.ranked_candidates import BoxTuple
from shard_service.store.images import Image
from shard_service.store.meta import Identity


class PartitionHit(NamedTuple):
    """A patch that was found, with its image; `suppressed` are (box, score), best first."""

    image: Image
    box: BoxTuple
    level: int
    score: float
    suppressed: tuple[tuple[BoxTuple, float], ...]

    @property
    def order(self) -> tuple[float, bytes, BoxTuple]:
        """Sorts hits: best score first, then image_id by bytes, then box."""
        return -self.score, self.image.image_id, self.box


@dataclass(frozen=True, eq=False, slots=True)
class PartitionAnswer:
    """At most k hits in order; the patches they were chosen from; how many were scored."""

    hits: tuple[PartitionHit, ...]
    patches: int
    candidates_read: int


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition's state.

    `profile` is "exact" while nothing is sealed; `deleted_patches` wait in sealed segments for a
    rebuild; `damaged_images` are not searched; `activity` is empty when idle. `digest` is that of
    all records, `tombstones` how many of them are deletions. Calls of placements older than
    `min_write_epoch` and `min_read_epoch` are refused. `recall` is that of searches since it was
    opened; `newest_version` the highest version of anything that was stored.
    """

    identity: Identity
    images: int
    patches: int
    growing_patches: int
    deleted_patches: int
    sealed_segments: int
    profile: str
    codebook: str
    damaged_images: int
    activity: str
    digest: int
    tombstones: int
    min_write_epoch: int
    min_read_epoch: int
    recall: tuple[MeasuredRecall, ...]
    newest_version: int


def merged_hits(answers: Iterable[PartitionAnswer], k: int) -> list[PartitionHit]:
    """The best `k` hits of several partitions; exact, because an image is in one of them alone."""
    hits = [hit for answer in answers for hit in answer.hits]
    return sorted(hits, key=lambda hit: hit.order)[:k]
