"""What is wrong with the replicas of a partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.shards import HeldPartition
from cluster.survey import Survey
from placement.document import Partition


@dataclass(frozen=True, slots=True)
class RepairChange:
    """What is wrong with a partition's replicas."""

    partition_id: str
    missing: tuple[str, ...]
    """Shards that answer and do not hold it though they should."""
    differing: tuple[str, ...]
    """Shards whose contents are not those of the fullest replica."""
    away: tuple[str, ...]
    """Shards that do not answer."""
    joining: tuple[str, ...]
    """Shards that a killed command was filling."""
    copied_bytes: int
    images: Mapping[str, int]
    """Images that each replica holds."""

    @property
    def what(self) -> str:
        """In words."""
        told = [f"fill {shard}" for shard in self.missing]
        if self.differing:
            told.append(f"compare and mend {', '.join(self.differing)}")
        told += [f"{shard} does not answer" for shard in self.away]
        told += [f"{shard} is being filled" for shard in self.joining]
        return "; ".join(told)


def repair_changes(survey: Survey, partitions: list[Partition]) -> tuple[RepairChange, ...]:
    """What is to be repaired, of these partitions; those that are well are left out."""
    changes = []
    for partition in partitions:
        largest = survey.largest(partition)
        held: dict[str, HeldPartition] = {}
        missing, away = [], []
        for replica in partition.replicas:
            copy = survey.held(replica.shard, partition.id)
            if copy is not None:
                held[replica.shard] = copy
            elif survey.alive(replica.shard):
                missing.append(replica.shard)
            else:
                away.append(replica.shard)
        differing = [
            shard for shard, copy in held.items() if largest and copy.digest != largest.digest
        ]
        joining = tuple(replica.shard for replica in partition.joining)
        if missing or differing or away or joining:
            changes.append(
                RepairChange(
                    partition.id,
                    tuple(missing),
                    tuple(differing),
                    tuple(away),
                    joining,
                    copied_bytes=len(missing) * (largest.disk_bytes if largest else 0),
                    images={shard: copy.images for shard, copy in held.items()},
                )
            )
    return tuple(changes)
