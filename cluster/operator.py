"""The operations on a cluster: a plan is made of what is there, and carried out step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.events import ChangeFinished, ChangeStarted, Copied, Dropped, Event, Passed, Tell
from cluster.leftovers import LeftoverKind, ToldLeftover
from cluster.membership import Membership
from cluster.plan import DEFAULT_RATE_MB_S, Plan, SplitChange
from cluster.planning import Planner
from cluster.publishing import Publisher
from cluster.repairing import Repairing
from cluster.shards import Shards
from cluster.splitting import Splitting
from cluster.survey import Survey, take_survey
from patchsearch.errors import FailedPrecondition
from placement.changes import with_shard, without_shard
from placement.store import PlacementStore


@dataclass(frozen=True, slots=True)
class Outcome:
    """What carrying out a plan came to."""

    epoch: int
    seconds: float
    copied_bytes: int
    """Bytes that were fetched from other shards."""
    left_undone: tuple[str, ...]
    """What was passed over because a shard did not answer, in words."""


class Operator:
    """Plans and carries out operations. One operation at a time: another one that gets in between
    makes this one end with PLACEMENT_CHANGED. Closes neither the store nor the shards."""

    def __init__(
        self, store: PlacementStore, shards: Shards, *, rate_mb_s: float = DEFAULT_RATE_MB_S
    ) -> None:
        self._store = store
        self._shards = shards
        self._rate_mb_s = rate_mb_s

    def survey(self, besides: Mapping[str, str] | None = None) -> Survey:
        """What is there; raises what `PlacementStore.load` raises."""
        return take_survey(self._store.load(), self._shards, besides)

    def plan(
        self, make: Callable[[Planner], Plan], besides: Mapping[str, str] | None = None
    ) -> Plan:
        """The plan that `make` makes of what is there; changes nothing.

        `besides`: addresses by name of shards that the placement does not have yet.
        """
        return make(Planner(self.survey(besides), self._rate_mb_s))

    def carry_out(self, plan: Plan, tell: Tell) -> Outcome:
        """Does what a plan says; may be killed at any point, and a new plan of the same command
        goes on from there.

        Raises FailedPrecondition PLACEMENT_CHANGED when the placement is not the one that the plan
        was made for, or somebody else changes it meanwhile, and what the shards raise.
        """
        started = time.monotonic()
        account = _Account(tell)
        publisher = Publisher(self._store, account.tell)
        if publisher.placement.epoch != plan.epoch:
            raise FailedPrecondition(
                "PLACEMENT_CHANGED",
                f"the plan is for epoch {plan.epoch}, and epoch {publisher.placement.epoch} is in "
                "force: somebody else changed it; run the command again",
                metadata={"expected": str(plan.epoch), "found": str(publisher.placement.epoch)},
            )
        _Work(self._shards, publisher, account.tell).do(plan)
        return Outcome(
            publisher.placement.epoch,
            time.monotonic() - started,
            account.copied_bytes,
            tuple(account.passed),
        )


class _Work:
    """One plan being carried out."""

    def __init__(self, shards: Shards, publisher: Publisher, tell: Tell) -> None:
        self._shards = shards
        self._publisher = publisher
        self._tell = tell
        self._membership = Membership(shards, publisher, tell)
        self._splitting = Splitting(shards, publisher, tell)
        self._repairing = Repairing(shards, publisher, self._membership, tell)

    def do(self, plan: Plan) -> None:
        steps: list[tuple[str, str, Callable[[], None]]] = []

        def add(partition_id: str, what: str, step: Callable[[], None]) -> None:
            steps.append((partition_id, what, step))

        for one in plan.leftovers:
            if one.finished_first:
                add(one.partition_id, f"finish on {one.shard}", lambda o=one: self._finish(o))  # type: ignore[misc]
        for one in plan.abandoned:
            add(one.partition_id, f"drop from {one.shard}", lambda o=one: self._drop(o))  # type: ignore[misc]
        lost = (plan.removed_shard,) if plan.lost else ()
        for member in plan.members:
            add(
                member.partition_id,
                member.what,
                lambda m=member: self._membership.reach(m, lost=lost),  # type: ignore[misc]
            )
        for split in plan.splits:
            add(split.partition_id, split.what, lambda s=split: self._splitting.halve(s))  # type: ignore[misc]
        for repair in plan.repairs:
            add(
                repair.partition_id,
                repair.what,
                lambda r=repair: self._repair(r.partition_id, plan.abandon),  # type: ignore[misc]
            )
        if plan.new_shard is not None:
            name, address = plan.new_shard
            self._publisher.publish(
                with_shard(self._publisher.placement, name, address), f"{name} at {address}"
            )
        for position, (partition_id, what, step) in enumerate(steps):
            started = time.monotonic()
            self._tell(ChangeStarted(partition_id, what, position + 1, len(steps)))
            step()
            self._tell(ChangeFinished(partition_id, what, time.monotonic() - started))
        if plan.removed_shard:
            self._publisher.publish(
                without_shard(self._publisher.placement, plan.removed_shard),
                f"without {plan.removed_shard}",
            )

    def _finish(self, leftover: ToldLeftover) -> None:
        if leftover.kind is LeftoverKind.REPLICA:
            self._membership.retire(leftover.partition_id, leftover.shard)
            return
        lower, upper = leftover.halves
        change = SplitChange(leftover.partition_id, lower, upper, (leftover.shard,), 0, 0, 0)
        self._splitting.finish(change, leftover.shard)

    def _drop(self, leftover: ToldLeftover) -> None:
        address = self._publisher.placement.shards[leftover.shard]
        if self._shards.drop(address, leftover.partition_id):
            self._tell(Dropped(leftover.partition_id, leftover.shard))

    def _repair(self, partition_id: str, abandon: bool) -> None:
        if not self._repairing.repair(partition_id, abandon=abandon):
            self._tell(Passed(f"{partition_id}: its replicas are not equal yet; repair it again"))


class _Account:
    """Sums up what events tell, and passes them on."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._copies: dict[tuple[str, str], int] = {}
        self.passed: list[str] = []

    @property
    def copied_bytes(self) -> int:
        return sum(self._copies.values())

    def tell(self, event: Event) -> None:
        if isinstance(event, Copied):
            self._copies[event.partition_id, event.shard] = event.done_bytes
        elif isinstance(event, Passed):
            self.passed.append(event.what)
        self._tell(event)
