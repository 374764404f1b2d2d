"""What a partition answers, and how answers of partitions become one."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shard_service.maintenance.recall import MeasuredRecall
from shard_service.search.ranked_candidates import BoxTuple
from shard_service.store.images import Image
from shard_service.store.meta import Identity

_Order = tuple[float, bytes, BoxTuple]
_BEFORE_ALL: _Order = (-math.inf, b"", (0, 0, 0, 0))


class PartitionHit(NamedTuple):
    """A patch that was found, with its image; `suppressed` are (box, score), best first."""

    image: Image
    box: BoxTuple
    level: int
    score: float
    suppressed: tuple[tuple[BoxTuple, float], ...]

    def order(self) -> _Order:
        """Sorts hits: best score first, then image_id by bytes, then box."""
        return -self.score, self.image.image_id, self.box


@dataclass(frozen=True, eq=False, slots=True)
class PartitionAnswer:
    """At most k hits in order; the patches they were chosen from; how many were scored; whether
    these are the first hits only, and there may be more among the best k."""

    hits: tuple[PartitionHit, ...]
    patches: int
    candidates_read: int
    more: bool = False


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


def merged_hits(answers: Sequence[PartitionAnswer], k: int) -> tuple[list[PartitionHit], bool]:
    """The best hits of several partitions, and whether there may be more of the best `k`.

    They are exact, because an image is in one partition alone: where a partition may have more,
    nothing is told that comes after the last of its hits.
    """
    hits = sorted((hit for answer in answers for hit in answer.hits), key=PartitionHit.order)[:k]
    cut = [answer for answer in answers if answer.more]
    if not cut:
        return hits, False
    # None are left where the images of all that was found are damaged.
    ends = [answer.hits[-1].order() if answer.hits else _BEFORE_ALL for answer in cut]
    sure = bisect_right(hits, min(ends), key=PartitionHit.order)
    return hits[:sure], sure < k
