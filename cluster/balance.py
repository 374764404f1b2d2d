"""Which shards are to hold which partition: pure functions, of loads by shard and partition."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from patchsearch.errors import FailedPrecondition

Holders = dict[str, tuple[str, ...]]
"""The shards of each partition, by partition."""

Weights = Mapping[str, int]
"""What each partition weighs, at least 1: its patches, so that searches and disks are shared."""

# Shards that differ by less than this share of the mean are left alone: moving costs too.
_TOLERANCE = 0.1


class Loads:
    """What each shard carries: the sum of the weights of its partitions."""

    def __init__(
        self, shards: Collection[str], holders: Mapping[str, Sequence[str]], weights: Weights
    ) -> None:
        self._weights = weights
        self._of = dict.fromkeys(shards, 0)
        for partition, names in holders.items():
            for name in names:
                self.add(name, partition)

    def __getitem__(self, shard: str) -> int:
        return self._of[shard]

    def add(self, shard: str, partition: str) -> None:
        """Counts a partition in."""
        self._of[shard] = self._of.get(shard, 0) + self._weights[partition]

    def take(self, shard: str, partition: str) -> None:
        """Counts a partition out."""
        self._of[shard] -= self._weights[partition]

    def mean(self, shards: Collection[str]) -> float:
        """What each of these shards would carry if they shared it evenly."""
        return sum(self._of[shard] for shard in shards) / len(shards)


def filled(
    holders: Mapping[str, Sequence[str]], shard: str, shards: Collection[str], weights: Weights
) -> Holders:
    """Targets of the partitions that move to a shard until it carries its share.

    Only moves to `shard`, each from the shard that carries most, and none that would bring it
    further above its share than it was below: what is moved is the least that shares the load,
    to within half a partition.
    """
    now: Holders = {name: tuple(on) for name, on in holders.items()}
    targets: Holders = {}
    loads = Loads(shards, now, weights)
    share = loads.mean(shards)
    donors = [name for name in shards if name != shard]
    while True:
        best: tuple[int, float, str, str] | None = None
        for donor in donors:
            if loads[donor] <= share:
                continue
            for partition, on in now.items():
                weight = weights[partition]
                fits = loads[shard] + weight / 2 <= share and weight < loads[donor] - loads[shard]
                if donor not in on or shard in on or not fits:
                    continue
                # From the fullest; of its partitions the one that comes nearest to what is missing.
                off = abs(min(share - loads[shard], loads[donor] - share) - weight)
                candidate = (-loads[donor], off, partition, donor)
                if best is None or candidate < best:
                    best = candidate
        if best is None:
            return targets
        _, _, partition, donor = best
        now[partition] = targets[partition] = replaced(now[partition], donor, shard)
        loads.take(donor, partition)
        loads.add(shard, partition)


def levelled(
    holders: Mapping[str, Sequence[str]], shards: Collection[str], weights: Weights
) -> Holders:
    """Targets of the partitions that move from full shards to empty ones until they are level.

    Each step is the move that brings two shards nearest to each other; it ends when none brings
    them nearer, or the fullest and the emptiest differ by less than a tenth of the mean.
    """
    now: Holders = {name: tuple(on) for name, on in holders.items()}
    targets: Holders = {}
    loads = Loads(shards, now, weights)
    tolerated = _TOLERANCE * loads.mean(shards)
    while True:
        best: tuple[float, str, str, str] | None = None
        for partition, on in now.items():
            weight = weights[partition]
            for full in on:
                for empty in shards:
                    gap = loads[full] - loads[empty]
                    if empty in on or gap <= tolerated or weight >= gap:
                        continue
                    # How much the sum of squares of the two loads becomes smaller by.
                    gain = weight * (gap - weight)
                    candidate = (-gain, partition, full, empty)
                    if best is None or candidate < best:
                        best = candidate
        if best is None:
            return {name: on for name, on in targets.items() if set(on) != set(holders[name])}
        _, partition, full, empty = best
        now[partition] = targets[partition] = replaced(now[partition], full, empty)
        loads.take(full, partition)
        loads.add(empty, partition)


def emptied(
    holders: Mapping[str, Sequence[str]], shard: str, shards: Collection[str], weights: Weights
) -> Holders:
    """Targets of the partitions of a shard that is to hold none, each to the emptiest of the rest.

    The heaviest first. Raises FailedPrecondition NOT_ENOUGH_SHARDS when the rest hold a partition
    already, all of them.
    """
    rest = [name for name in shards if name != shard]
    loads = Loads(rest, {n: [s for s in on if s != shard] for n, on in holders.items()}, weights)
    targets: Holders = {}
    own = [name for name, on in holders.items() if shard in on]
    for partition in sorted(own, key=lambda name: (-weights[name], name)):
        on = tuple(holders[partition])
        free = [name for name in rest if name not in on]
        if not free:
            raise _too_few(partition, len(on), len(rest))
        chosen = min(free, key=lambda name: (loads[name], name))
        targets[partition] = replaced(on, shard, chosen)
        loads.add(chosen, partition)
    return targets


def counted(
    holders: Mapping[str, Sequence[str]],
    count: int,
    shards: Collection[str],
    weights: Weights,
    away: Collection[str] = (),
) -> Holders:
    """Targets of the partitions that have not `count` replicas: more on the emptiest shards, fewer
    on the fullest. Shards in `away` get none and lose theirs first.

    Raises FailedPrecondition NOT_ENOUGH_SHARDS.
    """
    usable = [name for name in shards if name not in away]
    loads = Loads(shards, holders, weights)
    targets: Holders = {}
    for partition in sorted(holders, key=lambda name: (-weights[name], name)):
        on = list(holders[partition])
        while len(on) > count:
            last = max(on, key=lambda name: (name in away, loads[name], on.index(name)))
            on.remove(last)
            loads.take(last, partition)
        while len(on) < count:
            free = [name for name in usable if name not in on]
            if not free:
                raise _too_few(partition, count, len(usable))
            chosen = min(free, key=lambda name: (loads[name], name))
            on.append(chosen)
            loads.add(chosen, partition)
        if tuple(on) != tuple(holders[partition]):
            targets[partition] = tuple(on)
    return targets


def replaced(on: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    """The same shards with one in another's place."""
    return tuple(new if name == old else name for name in on)


def _too_few(partition: str, replicas: int, shards: int) -> FailedPrecondition:
    return FailedPrecondition(
        "NOT_ENOUGH_SHARDS",
        f"{partition} is to have {replicas} replicas on {shards} shards, and a shard holds one of "
        "each at most: add a shard, or ask for fewer with `patchsearch cluster set-replicas`",
    )
