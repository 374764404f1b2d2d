"""Makes two partitions of one, while it is searched and written."""

from __future__ import annotations

from contextlib import suppress

from cluster.events import Dropped, Halved, StepStarted, Tell
from cluster.plan import SplitChange
from cluster.publishing import Publisher
from cluster.shards import Shards
from patchsearch.errors import FailedPrecondition, Unavailable
from placement.changes import known_partition, last_of_lower_half, with_halves
from placement.document import Partition, Placement

MAX_ID = 64


class Splitting:
    """Halves partitions on all their shards. One thread at a time.

    Each shard fills the halves from stored vectors and mirrors writes into them; then an epoch has
    the halves instead of the whole, which refuses everything of older epochs and is dropped. Each
    step is safe to repeat.
    """

    def __init__(self, shards: Shards, publisher: Publisher, tell: Tell) -> None:
        self._shards = shards
        self._publisher = publisher
        self._tell = tell

    def halve(self, change: SplitChange) -> None:
        """Returns once the halves are in force and the whole is gone.

        Raises FailedPrecondition PARTITION_BUSY while shards are being filled with it, Unavailable
        UNREACHABLE when one of its shards does not answer, PLACEMENT_CHANGED, and what the shards
        raise; in each case the same change may be asked for again.
        """
        placement = self._publisher.placement
        partition = known_partition(placement, change.partition_id)
        check_settled(partition)
        self._tell(StepStarted(partition.id, "fill the halves"))
        # Again until nobody has anything left to do: a shard that was restarted meanwhile has to
        # be told, or it would not mirror.
        while not all([self._fill(change, replica.shard) for replica in partition.replicas]):
            pass
        self._check_ranges(partition, change)
        self._publisher.publish_held(
            with_halves(placement, partition.id, change.lower_id, change.upper_id),
            f"{partition.id}: {change.lower_id} and {change.upper_id} instead",
            self._shards,
            [(replica.address, partition.id) for replica in partition.replicas],
        )
        # All of them before one after the other is finished, which takes its time.
        for replica in partition.replicas:
            with suppress(Unavailable):
                self._fence(replica.address, partition.id)
        for replica in partition.replicas:
            self.finish(change, replica.shard)

    def finish(self, change: SplitChange, shard: str) -> None:
        """Ends the whole on a shard whose halves are in force."""
        address, name = self._publisher.placement.shards[shard], change.partition_id
        self._fence(address, name)
        # Nothing is written to it any more: what the halves lack now is all that they lack.
        while not self._fill(change, shard):
            pass
        if self._shards.drop(address, name):
            self._tell(Dropped(name, shard))

    def _fence(self, address: str, name: str) -> None:
        epoch = self._publisher.placement.epoch
        self._shards.fence(address, name, writes=epoch, reads=epoch)

    def _fill(self, change: SplitChange, shard: str) -> bool:
        """Whether there was nothing left to do on that shard."""
        address, steps = self._publisher.placement.shards[shard], 0
        while True:
            steps += 1
            moved, total, done = self._shards.split(
                address, change.partition_id, change.lower_id, change.upper_id
            )
            self._tell(Halved(change.partition_id, shard, moved, total))
            if done:
                return steps == 1

    def _check_ranges(self, partition: Partition, change: SplitChange) -> None:
        """The shards must have cut where the placement is going to."""
        last = last_of_lower_half(partition.hash_start, partition.hash_end)
        wanted = {
            change.lower_id: (partition.hash_start, last),
            change.upper_id: (last + 1, partition.hash_end),
        }
        for replica in partition.replicas:
            held = {one.id: one for one in self._shards.describe(replica.address)}
            for name, (start, end) in wanted.items():
                half = held.get(name)
                if half is None or (half.hash_start, half.hash_end) != (start, end):
                    raise FailedPrecondition(
                        "PARTITION_EXISTS",
                        f"{replica.shard} does not hold {name} with hashes {start:016x} to "
                        f"{end:016x}; look at it with `patchsearch shard describe`",
                        metadata={"partition_id": name},
                    )


def half_ids(placement: Placement, partition: Partition) -> tuple[str, str]:
    """The ids that a partition's halves get: its own with -0 and -1 behind it, or else their range.

    The same each time, so that a split that was cut short is gone on with.
    """
    taken = {one.id for one in placement.partitions}
    ids = (f"{partition.id}-0", f"{partition.id}-1")
    if len(ids[0]) <= MAX_ID and not taken & set(ids):
        return ids
    last = last_of_lower_half(partition.hash_start, partition.hash_end)
    return (
        f"h{partition.hash_start:016x}-{last:016x}",
        f"h{last + 1:016x}-{partition.hash_end:016x}",
    )


def check_settled(partition: Partition) -> None:
    """Raises FailedPrecondition PARTITION_BUSY while shards are being filled with a partition."""
    if partition.joining:
        names = ", ".join(replica.shard for replica in partition.joining)
        raise FailedPrecondition(
            "PARTITION_BUSY",
            f"partition {partition.id} is being copied to {names}: let that command finish, run it "
            "again if it was killed, or undo it with `patchsearch cluster repair --abandon`",
            metadata={"partition_id": partition.id},
        )
    if partition.hash_start == partition.hash_end:
        raise FailedPrecondition(
            "PARTITION_TOO_NARROW", f"partition {partition.id} holds one hash; it cannot be split"
        )
