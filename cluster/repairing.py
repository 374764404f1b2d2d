"""Makes the replicas of partitions equal again, and fills those whose disk was replaced."""

from __future__ import annotations

from cluster.events import Dropped, Passed, StepStarted, Tell
from cluster.membership import Membership
from cluster.publishing import Publisher
from cluster.shards import HeldPartition, Shards
from patchsearch.errors import PatchsearchError
from placement.changes import known_partition, with_members
from placement.document import Partition

_ROUNDS = 10


class Repairing:
    """Repairs partitions one after the other. One thread at a time; each step may be repeated."""

    def __init__(
        self, shards: Shards, publisher: Publisher, membership: Membership, tell: Tell
    ) -> None:
        self._shards = shards
        self._publisher = publisher
        self._membership = membership
        self._tell = tell

    def repair(self, partition_id: str, *, abandon: bool = False) -> bool:
        """Whether every replica of a partition is there and holds the same now.

        A shard that lacks the partition pulls it from the fullest replica; an empty one is never
        made here. Under traffic replicas differ by what is on its way: they count as equal when a
        round fetched nothing. `abandon` also takes back what a killed command was filling. Raises
        what the shards raise.
        """
        partition = known_partition(self._publisher.placement, partition_id)
        if abandon and partition.joining:
            self._abandon(partition)
        held, whole = self._held(partition)
        if not held:
            self._tell(Passed(f"{partition_id}: no shard that answers holds it"))
            return False
        hub = max(held, key=lambda shard: held[shard].images)
        for replica in partition.replicas:
            if replica.shard in held or replica.shard not in whole:
                continue
            self._membership.pull(partition_id, replica.shard, hub)
            # What a router of an older placement may not write here it may not write there either.
            self._shards.fence(
                replica.address,
                partition_id,
                writes=held[hub].min_write_epoch,
                reads=held[hub].min_read_epoch,
            )
            held[replica.shard] = held[hub]
        return self._level(partition, hub, list(held)) and len(held) == len(partition.replicas)

    def _level(self, partition: Partition, hub: str, shards: list[str]) -> bool:
        others = [shard for shard in shards if shard != hub]
        if not others or self._equal(partition, shards):
            return True
        self._tell(StepStarted(partition.id, f"compare {', '.join(shards)}"))
        for _ in range(_ROUNDS):
            fetched = 0
            # All that anybody has goes to one, and from there to everybody.
            for shard in others:
                fetched += self._membership.fetch(partition.id, hub, shard)
            for shard in others:
                fetched += self._membership.fetch(partition.id, shard, hub)
            if fetched == 0 or self._equal(partition, shards):
                return True
        return False

    def _equal(self, partition: Partition, shards: list[str]) -> bool:
        held = [self._membership.held(shard, partition.id) for shard in shards]
        return len({one.digest if one else b"" for one in held}) == 1

    def _held(self, partition: Partition) -> tuple[dict[str, HeldPartition], list[str]]:
        """The copies, and the shards that answered."""
        found: dict[str, HeldPartition] = {}
        answered = []
        for replica in partition.replicas:
            try:
                held = self._membership.held(replica.shard, partition.id)
            except PatchsearchError as error:
                self._tell(Passed(f"{partition.id}: {replica.shard} does not answer: {error}"))
                continue
            answered.append(replica.shard)
            if held is not None:
                found[replica.shard] = held
        return found, answered

    def _abandon(self, partition: Partition) -> None:
        replicas = [replica.shard for replica in partition.replicas]
        self._publisher.publish(
            with_members(self._publisher.placement, partition.id, replicas=replicas),
            f"{partition.id}: nobody joining",
        )
        for replica in partition.joining:
            try:
                if self._shards.drop(replica.address, partition.id):
                    self._tell(Dropped(partition.id, replica.shard))
            except PatchsearchError as error:
                self._tell(Passed(f"{partition.id}: {replica.shard} did not drop it: {error}"))
