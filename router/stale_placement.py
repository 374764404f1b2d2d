"""What shards say to a placement that is too old."""

from __future__ import annotations

from patchsearch.errors import PatchsearchError, Unavailable
from placement.document import Partition, Placement

STALE_PLACEMENT = "STALE_PLACEMENT"
PARTITION_NOT_FOUND = "PARTITION_NOT_FOUND"


def epoch_wanted(error: PatchsearchError | None, asked: int) -> int:
    """The epoch to wait for after a call of epoch `asked` was refused: what the shard names, at
    least the next one."""
    told = "" if error is None else error.metadata.get("epoch", "")
    return max(asked + 1, int(told) if told.isdecimal() else 0)


def in_place_of(old: Partition, placement: Placement) -> list[Partition]:
    """What a newer placement has in place of a partition: itself, or the parts it was split into;
    none where its range lies across others."""
    return [
        partition
        for partition in placement.partitions
        if old.hash_start <= partition.hash_start and partition.hash_end <= old.hash_end
    ]


def for_callers(error: PatchsearchError, partition_id: str, reason: str) -> PatchsearchError:
    """What callers are told when a newer placement did not help: to try again, under `reason`.

    Other errors are given back as they are.
    """
    if error.reason not in (STALE_PLACEMENT, PARTITION_NOT_FOUND):
        return error
    return Unavailable(
        reason,
        f"partition {partition_id} is not where the placement of this router has it, and there is "
        f"no newer placement yet; try again: {error.message}",
    )
