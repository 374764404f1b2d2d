"""What commands that were killed have left on shards, told from what the placement says."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cluster.shards import HeldPartition
from cluster.survey import Survey
from placement.document import Partition


class LeftoverKind(enum.Enum):
    """What a partition that the placement does not give to a shard is doing there."""

    REPLICA = "replica"
    """It was a replica and is not any more; it may have taken writes that the others lack."""
    WHOLE = "whole"
    """Its two halves are in force."""
    COPY = "copy"
    """It was copied there and never came into force; how old it is nobody knows."""
    HALF = "half"
    """A half of a partition whose split has not come into force yet."""
    UNKNOWN = "unknown"
    """Nothing in the placement explains it."""


@dataclass(frozen=True, slots=True)
class ToldLeftover:
    """A leftover, what it is, and what becomes of it."""

    kind: LeftoverKind
    partition_id: str
    shard: str
    images: int
    halves: tuple[str, str] = ("", "")
    """Of a WHOLE: the ids of its halves."""

    @property
    def finished_first(self) -> bool:
        """Whether the next command that changes something ends it before anything else."""
        return self.kind in (LeftoverKind.REPLICA, LeftoverKind.WHOLE)

    @property
    def what(self) -> str:
        """In words."""
        where = f"{self.shard} still holds {self.partition_id} ({self.images} images)"
        return {
            LeftoverKind.REPLICA: f"{where}, which it is no replica of any more",
            LeftoverKind.WHOLE: f"{where}, whose halves are in force",
            LeftoverKind.COPY: f"{where}, a copy that never came into force; "
            "`patchsearch cluster repair --abandon` drops it",
            LeftoverKind.HALF: f"{where}, of a split that is not finished: split it again",
            LeftoverKind.UNKNOWN: f"{where}, which the placement does not know; it is left alone",
        }[self.kind]


def told_leftovers(survey: Survey) -> list[ToldLeftover]:
    """What the shards hold beyond the placement, explained; by shard and partition."""
    return [_told(survey, one.shard, one.held) for one in survey.leftovers()]


def _told(survey: Survey, shard: str, held: HeldPartition) -> ToldLeftover:
    placement = survey.placement
    kind, halves = LeftoverKind.UNKNOWN, ("", "")
    if placement.partition(held.id) is not None:
        # Whatever was in force on a shard was fenced before it was taken out; a copy is not.
        kind = LeftoverKind.REPLICA if held.min_write_epoch else LeftoverKind.COPY
    else:
        within = [p for p in placement.partitions if _inside(p, held) and _on(p, shard)]
        around = placement.partition_of_hash(held.hash_start)
        if len(within) == 2 and _covered(within, held):
            kind, halves = LeftoverKind.WHOLE, (within[0].id, within[1].id)
        elif held.hash_end <= around.hash_end and _on(around, shard):
            kind = LeftoverKind.HALF
    return ToldLeftover(kind, held.id, shard, held.images, halves)


def _inside(partition: Partition, held: HeldPartition) -> bool:
    return held.hash_start <= partition.hash_start and partition.hash_end <= held.hash_end


def _covered(partitions: list[Partition], held: HeldPartition) -> bool:
    starts = {p.hash_start for p in partitions}
    ends = {p.hash_end for p in partitions}
    return held.hash_start in starts and held.hash_end in ends


def _on(partition: Partition, shard: str) -> bool:
    return any(replica.shard == shard for replica in partition.replicas)
