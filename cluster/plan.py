"""A plan: which shards are to hold which partition, and what that takes. Data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.leftovers import LeftoverKind, ToldLeftover
from cluster.repair_change import RepairChange

DEFAULT_RATE_MB_S = 100.0
"""Megabytes (10**6 bytes) a second that a copy is taken to run at unless told better."""


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One partition's way from the shards that hold it to those that are to hold it."""

    partition_id: str
    replicas: tuple[str, ...]
    joining: tuple[str, ...]
    target: tuple[str, ...]
    """At least one shard; those that stay keep their place."""
    bytes: int
    """Of one copy, on disk."""
    patches: int
    source: str
    """The shard that new copies come from; empty where none holds it."""
    away: tuple[str, ...] = ()
    """Shards that let theirs go and do not answer: they are not asked."""

    @property
    def added(self) -> tuple[str, ...]:
        """Shards that get a copy."""
        return tuple(shard for shard in self.target if shard not in self.replicas)

    @property
    def removed(self) -> tuple[str, ...]:
        """Shards that let theirs go."""
        return tuple(shard for shard in self.replicas if shard not in self.target)

    @property
    def abandoned(self) -> tuple[str, ...]:
        """Shards that were being filled and are not to hold it after all."""
        return tuple(shard for shard in self.joining if shard not in self.target)

    @property
    def copied_bytes(self) -> int:
        """Bytes that travel between shards; a copy that is being filled already is not counted."""
        return self.bytes * sum(shard not in self.joining for shard in self.added)

    @property
    def what(self) -> str:
        """The change in words: "shard-0 -> shard-3", "+ shard-3", "- shard-0"."""
        pairs = list(zip(self.removed, self.added, strict=False))
        told = [f"{old} -> {new}" for old, new in pairs]
        told += [f"+ {new}" for new in self.added[len(pairs) :]]
        told += [f"- {old}" for old in self.removed[len(pairs) :]]
        told += [f"give up filling {shard}" for shard in self.abandoned]
        return ", ".join(told)


@dataclass(frozen=True, slots=True)
class SplitChange:
    """One partition to be halved on all its shards."""

    partition_id: str
    lower_id: str
    upper_id: str
    shards: tuple[str, ...]
    images: int
    patches: int
    bytes: int

    @property
    def what(self) -> str:
        """The change in words."""
        return f"split into {self.lower_id} and {self.upper_id} on {', '.join(self.shards)}"

    @property
    def copied_bytes(self) -> int:
        """Bytes that are written anew, all of them inside shards."""
        return self.bytes * len(self.shards)


@dataclass(frozen=True, slots=True)
class ShardTotal:
    """What a shard holds before and after a plan."""

    shard: str
    partitions_before: int
    partitions_after: int
    patches_before: int
    patches_after: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command is going to do. It holds for the placement of `epoch`."""

    command: str
    epoch: int
    members: tuple[MemberChange, ...] = ()
    splits: tuple[SplitChange, ...] = ()
    new_shard: tuple[str, str] | None = None
    """Name and address."""
    removed_shard: str = ""
    totals: tuple[ShardTotal, ...] = ()
    repairs: tuple[RepairChange, ...] = ()
    leftovers: tuple[ToldLeftover, ...] = ()
    """What killed commands have left; some of it is ended first, whatever the command."""
    lost: bool = False
    """The shard to be removed is gone for good."""
    abandon: bool = False
    """Copies that never came into force are taken back."""
    notes: tuple[str, ...] = ()
    """What a person should know about it."""
    rate_mb_s: float = DEFAULT_RATE_MB_S

    @property
    def copied_bytes(self) -> int:
        """Bytes to be copied in all."""
        return (
            sum(change.copied_bytes for change in self.members)
            + sum(change.copied_bytes for change in self.splits)
            + sum(change.copied_bytes for change in self.repairs)
        )

    @property
    def seconds(self) -> float:
        """Seconds that copying takes at `rate_mb_s`, one partition after the other."""
        return self.copied_bytes / (self.rate_mb_s * 1e6)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.members
            or self.splits
            or self.repairs
            or self.new_shard
            or self.removed_shard
            or any(one.finished_first for one in self.leftovers)
            or self.abandoned
        )

    @property
    def abandoned(self) -> tuple[ToldLeftover, ...]:
        """The copies to be dropped without having come into force."""
        return tuple(
            one for one in self.leftovers if self.abandon and one.kind is LeftoverKind.COPY
        )


def changed_totals(
    before: Mapping[str, Sequence[str]],
    patches: Mapping[str, int],
    shards: Sequence[str],
    targets: Mapping[str, Sequence[str]],
) -> tuple[ShardTotal, ...]:
    """Totals of shards; `before` has the shards of each partition, `targets` those that change."""
    after = {**before, **targets}

    def count(holders: Mapping[str, Sequence[str]], shard: str) -> tuple[int, int]:
        own = [name for name, on in holders.items() if shard in on]
        return len(own), sum(patches.get(name, 0) for name in own)

    totals = []
    for shard in shards:
        (had, had_patches), (has, has_patches) = count(before, shard), count(after, shard)
        totals.append(ShardTotal(shard, had, has, had_patches, has_patches))
    return tuple(totals)
