"""The state of a cluster, for people and for scripts."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.leftovers import ToldLeftover, told_leftovers
from cluster.survey import Survey
from placement.document import Partition, Placement


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard: what the placement gives it, and what it says."""

    shard: str
    address: str
    available: bool
    problem: str
    """Why it did not answer; empty where it did."""
    partitions: int
    joining: int
    images: int
    patches: int
    disk_bytes: int
    missing: tuple[str, ...]
    """Partitions that it should hold and does not."""
    behind: tuple[str, ...]
    """Partitions whose contents are not those of their fullest replica."""
    activity: str


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One copy of a partition."""

    shard: str
    state: str
    """"ok", "behind", "joining", "missing" or "away"."""
    images: int
    patches: int


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition and its copies."""

    partition_id: str
    hash_start: str
    """16 hexadecimal digits."""
    hash_end: str
    images: int
    patches: int
    disk_bytes: int
    tombstones: int
    damaged_images: int
    replicas: tuple[ReplicaStatus, ...]


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A placement, and what its shards said about it just now."""

    epoch: int
    images: int
    patches: int
    shards: tuple[ShardStatus, ...]
    partitions: tuple[PartitionStatus, ...]
    leftovers: tuple[ToldLeftover, ...]

    @property
    def well(self) -> bool:
        """Whether every replica is there and holds the same, and no command was cut short."""
        states = {r.state for partition in self.partitions for r in partition.replicas}
        return states <= {"ok"} and not self.leftovers and all(s.available for s in self.shards)


def cluster_status(survey: Survey) -> ClusterStatus:
    """The state that a survey found. While images are written, replicas differ for moments."""
    placement = survey.placement
    partitions = tuple(_partition(survey, partition) for partition in placement.partitions)
    return ClusterStatus(
        placement.epoch,
        sum(partition.images for partition in partitions),
        sum(partition.patches for partition in partitions),
        tuple(_shard(survey, placement, name, partitions) for name in sorted(placement.shards)),
        partitions,
        tuple(told_leftovers(survey)),
    )


def _partition(survey: Survey, partition: Partition) -> PartitionStatus:
    largest = survey.largest(partition)
    replicas = []
    for replica in partition.written:
        held = survey.held(replica.shard, partition.id)
        if not survey.alive(replica.shard):
            state = "away"
        elif replica in partition.joining:
            state = "joining"
        elif held is None:
            state = "missing"
        else:
            state = "ok" if largest is None or held.digest == largest.digest else "behind"
        replicas.append(
            ReplicaStatus(
                replica.shard, state, held.images if held else 0, held.patches if held else 0
            )
        )
    return PartitionStatus(
        partition.id,
        f"{partition.hash_start:016x}",
        f"{partition.hash_end:016x}",
        largest.images if largest else 0,
        largest.patches if largest else 0,
        largest.disk_bytes if largest else 0,
        largest.tombstones if largest else 0,
        largest.damaged_images if largest else 0,
        tuple(replicas),
    )


def _shard(
    survey: Survey, placement: Placement, name: str, partitions: tuple[PartitionStatus, ...]
) -> ShardStatus:
    found = survey.shards[name]
    own = [(p.partition_id, r) for p in partitions for r in p.replicas if r.shard == name]
    activities = sorted(
        f"{held.id}: {held.activity}" for held in found.held.values() if held.activity
    )
    return ShardStatus(
        name,
        placement.shards[name],
        found.error is None,
        "" if found.error is None else found.error.message,
        partitions=sum(replica.state != "joining" for _, replica in own),
        joining=sum(replica.state == "joining" for _, replica in own),
        images=sum(replica.images for _, replica in own),
        patches=sum(replica.patches for _, replica in own),
        disk_bytes=sum(held.disk_bytes for held in found.held.values()),
        missing=tuple(one for one, replica in own if replica.state == "missing"),
        behind=tuple(one for one, replica in own if replica.state == "behind"),
        activity="; ".join(activities),
    )
