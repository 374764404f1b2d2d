"""What the shards hold, beside what the placement says that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cluster.shards import HeldPartition, Shards
from patchsearch.errors import PatchsearchError
from placement.document import Partition, Placement

_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class ShardFound:
    """A shard of the placement: what it holds by partition, or why it did not answer."""

    name: str
    address: str
    held: Mapping[str, HeldPartition]
    error: PatchsearchError | None = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """A partition on a shard that the placement does not give it."""

    shard: str
    held: HeldPartition


@dataclass(frozen=True, slots=True)
class Survey:
    """One placement, and what its shards answered."""

    placement: Placement
    shards: Mapping[str, ShardFound]

    def held(self, shard: str, partition_id: str) -> HeldPartition | None:
        """What a shard holds of a partition; None where it does not, or does not answer."""
        found = self.shards.get(shard)
        return None if found is None else found.held.get(partition_id)

    def alive(self, shard: str) -> bool:
        """Whether a shard answered."""
        found = self.shards.get(shard)
        return found is not None and found.error is None

    def largest(self, partition: Partition) -> HeldPartition | None:
        """The copy with most images of those whose shards answered; None where there is none."""
        copies = [self.held(replica.shard, partition.id) for replica in partition.replicas]
        return max((c for c in copies if c is not None), key=lambda c: c.images, default=None)

    def source(self, partition: Partition, besides: str = "") -> str | None:
        """The shard to copy a partition from: the replica with most images, not `besides`."""
        best: tuple[int, str] | None = None
        for replica in partition.replicas:
            held = self.held(replica.shard, partition.id)
            if held is None or replica.shard == besides:
                continue
            if best is None or held.images > best[0]:
                best = held.images, replica.shard
        return None if best is None else best[1]

    def leftovers(self) -> list[Leftover]:
        """What shards hold beyond the placement, by shard and partition."""
        given = {
            (replica.shard, partition.id)
            for partition in self.placement.partitions
            for replica in partition.written
        }
        return [
            Leftover(name, held)
            for name, found in sorted(self.shards.items())
            for partition_id, held in sorted(found.held.items())
            if (name, partition_id) not in given
        ]


def take_survey(
    placement: Placement, shards: Shards, besides: Mapping[str, str] | None = None
) -> Survey:
    """Asks every shard of the placement, and those in `besides` (addresses by name), all at once.

    Those that do not answer are in the survey with their error.
    """
    addresses = {**(besides or {}), **placement.shards}

    def ask(name: str, address: str) -> ShardFound:
        try:
            held = shards.describe(address)
        except PatchsearchError as error:
            return ShardFound(name, address, {}, error)
        return ShardFound(name, address, {one.id: one for one in held})

    names = sorted(addresses)
    with ThreadPoolExecutor(max(1, min(_AT_A_TIME, len(names)))) as threads:
        found = list(threads.map(lambda name: ask(name, addresses[name]), names))
    return Survey(placement, {one.name: one for one in found})
