"""Changes which shards hold a partition, while it is searched and written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from cluster.events import Copied, Dropped, Passed, Repaired, StepStarted, Tell
from cluster.plan import MemberChange
from cluster.publishing import Publisher
from cluster.shards import HeldPartition, Shards
from patchsearch.errors import FailedPrecondition, PatchsearchError, Unavailable
from placement.changes import known_partition, with_members
from placement.document import Partition

WARM_SEARCHES = 8
_ROUNDS = 10
# What may be on its way to both replicas while they are compared; the last repair gets it.
_ON_THEIR_WAY = 64


class Membership:
    """Brings a partition to the shards that a `MemberChange` names. One thread at a time.

    The steps, each safe to repeat, so that `reach` goes on from wherever it was killed:

    1. each new shard pulls the partition from a replica, its files as they are;
    2. an epoch in which the new shards are joining: writes go to them as well;
    3. the fence: no write of an older epoch is taken any more, so none passes the new shards by;
    4. the new shards fetch by digests what was written meanwhile, and are warmed;
    5. an epoch in which they hold the partition in place of the old ones; from just before it
       the old ones refuse reads of older epochs, for some seconds;
    6. the old shards refuse everything of older epochs, and what they took last is fetched;
    7. they drop the partition.
    """

    def __init__(self, shards: Shards, publisher: Publisher, tell: Tell) -> None:
        self._shards = shards
        self._publisher = publisher
        self._tell = tell

    def reach(self, change: MemberChange, *, lost: Sequence[str] = ()) -> None:
        """Returns once the partition is on `change.target` and nowhere else.

        Shards in `lost` are gone for good: they are neither asked nor waited for. Raises
        Unavailable UNREACHABLE when a shard that is needed does not answer, FailedPrecondition
        LAST_REPLICA when no replica is left to copy from, PLACEMENT_CHANGED, and what the shards
        raise; in each case the same change may be asked for again.
        """
        name, target = change.partition_id, change.target
        lost = [*lost, *change.away]
        partition = known_partition(self._publisher.placement, name)
        replicas = [r.shard for r in partition.replicas]
        added = [shard for shard in target if shard not in replicas]
        removed = [shard for shard in replicas if shard not in target]
        sources = self._sources(partition, lost)
        for shard in added:
            self._copy(partition, shard, sources)
        joining = [r.shard for r in partition.joining]
        if joining != added:
            self._publisher.publish(
                with_members(self._publisher.placement, name, replicas=replicas, joining=added),
                f"{name}: {', '.join(added)} joining" if added else f"{name}: nobody joining",
            )
        for shard in joining:
            if shard not in target:
                self._drop(name, shard)
        if added or removed:
            self._fence_writes(name, [*replicas, *added], lost)
        for shard in added:
            self.catch_up(name, shard, list(sources))
        for shard in added:
            self._warm(name, shard)
        if added or removed:
            self._publisher.publish_held(
                with_members(self._publisher.placement, name, replicas=target),
                f"{name}: {change.what}",
                self._shards,
                [(self._address(shard), name) for shard in removed if shard not in lost],
            )
            self._fence_all(name, [shard for shard in removed if shard not in lost])
        for shard in removed:
            if shard in lost:
                self._tell(Passed(f"{name}: {shard} does not answer and was not asked to drop"))
            else:
                self.retire(name, shard)

    def catch_up(self, name: str, shard: str, sources: Sequence[str]) -> None:
        """Fetches what a shard lacks of a partition, until it lacks nothing that stays missing.

        Raises Unavailable NOT_CAUGHT_UP when writes pass it by all the time.
        """
        self._tell(StepStarted(name, f"{shard} catches up"))
        fetched = 0
        for _ in range(_ROUNDS):
            fetched = sum(self.fetch(name, shard, source) for source in sources)
            if fetched == 0:
                return
        if fetched > _ON_THEIR_WAY:
            raise Unavailable(
                "NOT_CAUGHT_UP",
                f"{shard} still lacked {fetched} images of {name} after {_ROUNDS} rounds: writes "
                "do not reach it; look at its log and run the command again",
            )

    def retire(self, name: str, shard: str) -> None:
        """Ends a replica that the placement does not have any more: shut, read out, dropped."""
        epoch = self._publisher.placement.epoch
        partition = known_partition(self._publisher.placement, name)
        self._tell(StepStarted(name, f"{shard} lets go"))
        self._shards.fence(self._address(shard), name, writes=epoch, reads=epoch)
        failures: list[PatchsearchError] = []
        for replica in partition.replicas:
            try:
                self.fetch(name, replica.shard, shard)
            except PatchsearchError as error:
                failures.append(error)
                self._tell(Passed(f"{name}: {replica.shard} was not repaired: {error}"))
        if len(failures) == len(partition.replicas):
            raise failures[0]
        self._drop(name, shard)

    def _sources(self, partition: Partition, lost: Sequence[str]) -> dict[str, HeldPartition]:
        """The replicas that can be copied from, the fullest first."""
        found: dict[str, HeldPartition] = {}
        failures: list[PatchsearchError] = []
        for replica in partition.replicas:
            if replica.shard in lost:
                continue
            try:
                held = self.held(replica.shard, partition.id)
            except PatchsearchError as error:
                failures.append(error)
                self._tell(Passed(f"{partition.id}: {replica.shard} does not answer: {error}"))
                continue
            if held is not None:
                found[replica.shard] = held
        if not found:
            if failures:
                raise failures[0]
            raise FailedPrecondition(
                "LAST_REPLICA",
                f"no shard that answers holds partition {partition.id}: start one of "
                f"{', '.join(r.shard for r in partition.replicas)}, or restore it from a backup",
                metadata={"partition_id": partition.id},
            )
        return dict(sorted(found.items(), key=lambda item: -item[1].images))

    def held(self, shard: str, name: str) -> HeldPartition | None:
        """A shard's own word on a partition; None where it has none."""
        described = self._shards.describe(self._address(shard))
        return next((one for one in described if one.id == name), None)

    def _copy(self, partition: Partition, shard: str, sources: dict[str, HeldPartition]) -> None:
        name = partition.id
        held = self.held(shard, name)
        if held is not None and shard not in [r.shard for r in partition.joining]:
            if held.min_write_epoch:
                # It was a replica once; what it alone has must not be lost.
                self.retire(name, shard)
            else:
                # A copy that never got the writes: how old it is nobody knows.
                self._drop(name, shard)
        self.pull(name, shard, next(iter(sources)))

    def pull(self, name: str, shard: str, source: str) -> None:
        """Copies a partition to a shard; one that is there is left as it is."""
        self._tell(StepStarted(name, f"copy from {source} to {shard}"))

        def progress(done: int, total: int) -> None:
            self._tell(Copied(name, shard, done, total))

        self._shards.pull(self._address(shard), name, self._address(source), progress)

    def _fence_writes(self, name: str, shards: Sequence[str], lost: Sequence[str]) -> None:
        epoch = self._publisher.placement.epoch
        for shard in shards:
            if shard in lost:
                continue
            try:
                self._shards.fence(self._address(shard), name, writes=epoch)
            except Unavailable as error:
                # Nobody can write there either; it is repaired when it is back.
                self._tell(Passed(f"{name}: {shard} was not fenced: {error}"))

    def _fence_all(self, name: str, shards: Sequence[str]) -> None:
        """Before one after the other is retired, which takes its time."""
        epoch = self._publisher.placement.epoch
        for shard in shards:
            with suppress(Unavailable):
                self._shards.fence(self._address(shard), name, writes=epoch, reads=epoch)

    def fetch(self, name: str, shard: str, source: str) -> int:
        """Has a shard fetch what is newer on another one; returns how many records that was."""
        images, deletions = self._shards.repair(self._address(shard), name, self._address(source))
        if images or deletions:
            self._tell(Repaired(name, shard, source, images, deletions))
        return images + deletions

    def _warm(self, name: str, shard: str) -> None:
        held = self.held(shard, name)
        if held is not None and held.patches:
            self._shards.warm(self._address(shard), held, WARM_SEARCHES)

    def _drop(self, name: str, shard: str) -> None:
        if self._shards.drop(self._address(shard), name):
            self._tell(Dropped(name, shard))

    def _address(self, shard: str) -> str:
        return self._publisher.placement.shards[shard]
