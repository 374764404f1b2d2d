"""What a partition answers, and how answers of partitions become one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from patchsearch.errors import DataLoss
from shard_service.search.ranking import BoxTuple
from shard_service.search.segment_search import Ranking
from shard_service.segments.segment_set import Snapshot
from shard_service.store.images import Image
from shard_service.store.meta import Identity
from shard_service.store.patch_store import PatchStore


@dataclass(frozen=True, eq=False, slots=True)
class PartitionHit:
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
    rebuild; `damaged_images` are not searched; `activity` is empty when idle.
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


def resolved_hits(
    snapshot: Snapshot, ranking: Ranking, store: PatchStore
) -> tuple[tuple[PartitionHit, ...], bool]:
    """The rows of `ranking` with their images, and whether none was replaced since `snapshot`.

    Images whose records are damaged are left out.
    """
    tables = [segment.table for segment in snapshot.segments]
    keys = [tables[row.segment].image_ids[row.image] for row in ranking.rows]
    distinct = list(dict.fromkeys(keys))
    damaged: list[DataLoss] = []
    images = store.read_images(distinct, on_damage=damaged.append)
    stored = dict(zip(distinct, images, strict=True))
    hits = []
    for key, row in zip(keys, ranking.rows, strict=True):
        image = stored[key]
        # An image that was written anew has new sequences.
        if (
            image is not None
            and image.first_sequence == tables[row.segment].first_sequences[row.image]
        ):
            hits.append(PartitionHit(image.image, row.box, row.level, row.score, row.suppressed))
    lost = {damage.metadata.get("image_id", "").encode("utf-8") for damage in damaged}
    left_out = sum(key in lost for key in keys)
    return tuple(hits), len(hits) + left_out == len(keys)


def merged_hits(answers: Iterable[PartitionAnswer], k: int) -> list[PartitionHit]:
    """The best `k` hits of several partitions; exact, because an image is in one of them alone."""
    hits = [hit for answer in answers for hit in answer.hits]
    return sorted(hits, key=lambda hit: hit.order)[:k]
