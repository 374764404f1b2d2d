"""What the collection tells of itself: frozen dataclasses, independent of the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReplicaHealth = Literal["in use", "behind", "joining", "away"]
"""`behind`: it is known to miss writes that others have, and is searched after them. `joining`: it
is being filled and is not searched yet. `away`: its shard does not answer, or lacks it."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One replica of a partition. `address` is empty where the router does not tell it."""

    shard: str
    address: str
    state: ReplicaHealth
    patches: int


@dataclass(frozen=True, slots=True)
class MeasuredRecall:
    """Recall of live searches of one index profile, by `checks` that were answered again exactly.

    `share` is found hits over expected ones, 0 to 1; None where no hits were expected.
    """

    profile: str
    checks: int
    expected_hits: int
    found_hits: int
    share: float | None


@dataclass(frozen=True, slots=True)
class PartitionState:
    """State of one partition, as its shard tells it; `replicas` has all of its replicas.

    `recall` is that of all replicas since their shards were started, by profile; empty while no
    search of an index was checked.
    """

    partition_id: str
    shard: str
    available: bool
    images: int
    patches: int
    growing_patches: int
    deleted_patches: int
    sealed_segments: int
    profile: str
    damaged_images: int
    activity: str
    replicas: tuple[ReplicaState, ...] = ()
    recall: tuple[MeasuredRecall, ...] = ()


@dataclass(frozen=True, slots=True)
class Collection:
    """The collection: encoder, sizes, partitions. Sizes count the partitions that answered.

    `coverage` is the share of partitions that answered, 0 to 1; `recall` is that of all of them.
    """

    encoder: str
    fingerprint: str
    dim: int
    images: int
    patches: int
    epoch: int
    partitions: tuple[PartitionState, ...]
    selector: str
    saliency: str
    version: str
    coverage: float = 1.0
    recall: tuple[MeasuredRecall, ...] = ()
