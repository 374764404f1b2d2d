"""One placement made of another: each change is a new epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from patchsearch.errors import InvalidArgument, NotFound
from placement.document import Partition, Placement, Replica

MAX_PARTITIONS = 4096


def initial_placement(
    shards: Mapping[str, str], *, partitions: int, replicas: int, epoch: int = 1
) -> Placement:
    """Equal hash ranges `p0`, `p1`, ... dealt out to the shards in turn.

    Further replicas of the partitions of one shard are spread over all the others, so that the
    load of a shard that is lost is, too. Raises InvalidArgument PARTITIONS_OUT_OF_RANGE,
    REPLICAS_OUT_OF_RANGE.
    """
    names = list(shards)
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise InvalidArgument(
            "PARTITIONS_OUT_OF_RANGE",
            f"{partitions} partitions; 1 to {MAX_PARTITIONS} can be asked for",
        )
    if not 1 <= replicas <= len(names):
        raise InvalidArgument(
            "REPLICAS_OUT_OF_RANGE",
            f"{replicas} replicas on {len(names)} shards; a shard holds one of each at most: ask "
            f"for 1 to {len(names)}",
        )
    edges = [2**64 * i // partitions for i in range(partitions + 1)]
    return Placement(
        epoch=epoch,
        partitions=tuple(
            Partition(
                id=f"p{i}",
                hash_start=edges[i],
                hash_end=edges[i + 1] - 1,
                replicas=_replicas(_spread(names, i, replicas), shards),
            )
            for i in range(partitions)
        ),
        shards=dict(shards),
    )


def with_members(
    placement: Placement,
    partition_id: str,
    *,
    replicas: Sequence[str],
    joining: Sequence[str] = (),
) -> Placement:
    """The next epoch, in which these shards hold a partition and those are being filled with it."""
    changed = dataclasses.replace(
        known_partition(placement, partition_id),
        replicas=_replicas(replicas, placement.shards),
        joining=_replicas(joining, placement.shards),
    )
    return _next(placement, (changed if p.id == changed.id else p for p in placement.partitions))


def with_halves(placement: Placement, partition_id: str, lower: str, upper: str) -> Placement:
    """The next epoch, in which a partition's replicas hold its two halves instead of it."""
    whole = known_partition(placement, partition_id)
    last = last_of_lower_half(whole.hash_start, whole.hash_end)
    halves = (
        dataclasses.replace(whole, id=lower, hash_end=last),
        dataclasses.replace(whole, id=upper, hash_start=last + 1),
    )
    kept: list[Partition] = []
    for partition in placement.partitions:
        kept.extend(halves if partition.id == partition_id else (partition,))
    return _next(placement, kept)


def with_shard(placement: Placement, name: str, address: str) -> Placement:
    """The next epoch, in which a shard is known that holds nothing yet, or has a new address."""
    return _next(placement, placement.partitions, {**placement.shards, name: address})


def without_shard(placement: Placement, name: str) -> Placement:
    """The next epoch, without a shard that holds nothing any more."""
    rest = {other: address for other, address in placement.shards.items() if other != name}
    return _next(placement, placement.partitions, rest)


def last_of_lower_half(hash_start: int, hash_end: int) -> int:
    """The last hash of the lower half of a range, both ends inclusive."""
    return hash_start + (hash_end - hash_start) // 2


def known_partition(placement: Placement, partition_id: str) -> Partition:
    """Raises NotFound PARTITION_UNKNOWN."""
    found = placement.partition(partition_id)
    if found is None:
        some = ", ".join(p.id for p in placement.partitions[:8])
        raise NotFound(
            "PARTITION_UNKNOWN",
            f"the placement of epoch {placement.epoch} has no partition {partition_id!r}; it has "
            f"{some}{', ...' if len(placement.partitions) > 8 else ''}",
            metadata={"partition_id": partition_id},
        )
    return found


def known_address(placement: Placement, shard: str) -> str:
    """Where a shard listens; raises NotFound SHARD_UNKNOWN."""
    try:
        return placement.shards[shard]
    except KeyError:
        known = ", ".join(sorted(placement.shards))
        raise NotFound(
            "SHARD_UNKNOWN",
            f"the placement of epoch {placement.epoch} has no shard {shard!r}; it has {known}",
            metadata={"shard": shard},
        ) from None


def _spread(names: Sequence[str], index: int, count: int) -> list[str]:
    shards = len(names)
    first = index % shards
    others = [names[(first + 1 + i) % shards] for i in range(shards - 1)]
    turn = index // shards % len(others) if others else 0
    return [names[first], *(others[turn:] + others[:turn])[: count - 1]]


def _replicas(names: Sequence[str], addresses: Mapping[str, str]) -> tuple[Replica, ...]:
    return tuple(Replica(name, addresses[name]) for name in names)


def _next(
    placement: Placement,
    partitions: Iterable[Partition],
    shards: Mapping[str, str] | None = None,
) -> Placement:
    addresses = placement.shards if shards is None else shards
    return Placement(
        epoch=placement.epoch + 1,
        partitions=tuple(
            dataclasses.replace(
                partition,
                replicas=_replicas([r.shard for r in partition.replicas], addresses),
                joining=_replicas([r.shard for r in partition.joining], addresses),
            )
            for partition in partitions
        ),
        shards=dict(addresses),
    )
