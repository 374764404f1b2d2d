"""One reading from partitions, from the first call to the last answer that counts."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from patchsearch.errors import DeadlineExceeded, InvalidArgument, PatchsearchError, Unavailable
from placement.document import Partition, Placement
from router.call_scope import CallScope, answer
from router.metrics import CallKind
from router.read_account import Attempt, OpenPartition, Reloaded, beaten
from router.reading import Answer, Read, ReadMeans, ReadResult, no_answer
from router.replica_choice import Candidate, assign
from router.stale_placement import (
    PARTITION_NOT_FOUND,
    STALE_PLACEMENT,
    epoch_wanted,
    for_callers,
    in_place_of,
)

ResponseT = TypeVar("ResponseT")

_AGAIN_S = 0.1
"""A partition whose replicas are all unreachable is asked once more after this: a connection that
a restarted shard left behind fails at first."""
_LONGEST_STEP_S = 0.25
_RELOAD_S = 2.0
"""Longest wait for a newer placement."""


class ReadRun(Generic[ResponseT]):
    """See `PartitionReads.run`. One use per object, by one thread."""

    def __init__(self, read: Read[ResponseT], means: ReadMeans, scope: CallScope) -> None:
        self._read = read
        self._shards = means.shards
        self._states = means.states
        self._reloads = means.reloads
        self._hedging = hedging = means.hedging
        self._metrics = means.metrics
        self._scope = scope
        self._events: queue.SimpleQueue[Attempt[ResponseT] | Reloaded] = queue.SimpleQueue()
        self._running: dict[int, Attempt[ResponseT]] = {}
        self._open: dict[str, OpenPartition] = {}
        self._again: list[OpenPartition] = []
        self._answers: list[Answer[ResponseT]] = []
        self._missed: list[tuple[Partition, PatchsearchError]] = []
        self._ends = self._tick_at = self._again_at = math.inf
        self._delay_s = hedging.delay_s
        self._patience_s = hedging.patience_s
        self._step_s = self._patience_s if self._delay_s is None else self._delay_s

    def ask(
        self, partitions: Sequence[Partition], placement: Placement, reserve_s: float
    ) -> ReadResult[ResponseT]:
        """See `PartitionReads.run`."""
        self._placement = placement
        self._ends = time.monotonic() + self._scope.remaining_s(reserve_s)
        self._open = {p.id: OpenPartition(p) for p in partitions}
        try:
            self._send(list(self._open.values()), CallKind.FIRST)
            while self._open and self._turn():
                pass
        finally:
            self._give_up()
        if self._scope.cancelled:
            raise PatchsearchError("CANCELLED", "the caller cancelled the call")
        for unit in self._open.values():
            self._missed.append((unit.partition, no_answer()))
        return ReadResult(self._answers, self._missed, self._placement)

    def _turn(self) -> bool:
        """Waits for the next thing to happen and sees to it; False when the time is over."""
        now = time.monotonic()
        if now >= self._ends or self._scope.cancelled:
            return False
        until = min(self._ends, self._tick_at, self._again_at)
        try:
            event = self._events.get(timeout=max(0.0, until - now))
        except queue.Empty:
            now = time.monotonic()
            if now >= self._again_at:
                units, self._again, self._again_at = self._again, [], math.inf
                self._send([u for u in units if u.partition.id in self._open], CallKind.RETRY)
            elif now >= self._tick_at:
                self._see_to_slow(now)
            return True
        if isinstance(event, Reloaded):
            self._ask_in_place(event)
        else:
            self._settle(event)
        return True

    def _settle(self, attempt: Attempt[ResponseT]) -> None:
        if self._scope.cancelled:
            return
        del self._running[id(attempt)]
        seconds = time.monotonic() - attempt.began
        for unit in attempt.units:
            unit.in_flight -= 1
        try:
            response = answer(attempt.future)
        except PatchsearchError as error:
            self._states.failed(attempt.address, self._load(attempt.units), seconds, error)
            self._lost([(unit, error) for unit in attempt.units], attempt)
            return
        self._states.answered(attempt.address, self._load(attempt.units), seconds)
        self._hedging.ended(seconds)
        self._take(response, attempt)

    def _take(self, response: ResponseT, attempt: Attempt[ResponseT]) -> None:
        errors = self._read.errors(response, [unit.partition for unit in attempt.units])
        counted, elsewhere, lost = [], [], []
        for unit in attempt.units:
            error = errors.get(unit.partition.id)
            if error is not None:
                lost.append((unit, error))
            elif self._open.get(unit.partition.id) is unit:
                del self._open[unit.partition.id]
                counted.append(unit.partition)
            else:
                elsewhere.append(unit.partition)
        if counted:
            self._answers.append(Answer(response, tuple(counted), tuple(elsewhere)))
            if attempt.kind is CallKind.HEDGE:
                self._metrics.hedge_won()
                for address in beaten(attempt, self._running.values(), self._hedging.far):
                    self._states.beaten(address)
        if lost:
            self._lost(lost, attempt, by_partition=True)

    def _lost(
        self,
        lost: Iterable[tuple[OpenPartition, PatchsearchError]],
        attempt: Attempt[ResponseT],
        by_partition: bool = False,
    ) -> None:
        retry, stale = [], []
        for unit, error in lost:
            if self._open.get(unit.partition.id) is not unit:
                continue
            unit.error = error
            if isinstance(error, InvalidArgument):
                self._close(unit)
            elif self._is_stale(unit, error):
                stale.append(unit)
            else:
                retry.append(unit)
                if by_partition:
                    # The shard lives and has trouble with this one: others are better.
                    self._states.missed(unit.partition.id, attempt.address)
        if stale:
            self._reload(stale, attempt.epoch)
        if retry:
            self._send(retry, CallKind.RETRY)

    def _is_stale(self, unit: OpenPartition, error: PatchsearchError) -> bool:
        if unit.reloaded:
            return False
        if error.reason == PARTITION_NOT_FOUND:
            # One replica may have lost its disk; when nobody has it, it has moved on.
            return all(r.address in unit.tried for r in unit.partition.replicas)
        return error.reason == STALE_PLACEMENT

    def _reload(self, stale: list[OpenPartition], epoch: int) -> None:
        self._metrics.stale_placement("read")
        for unit in stale:
            unit.reloading = True
        wanted = max(epoch_wanted(unit.error, epoch) for unit in stale)
        wait_s = max(0.0, min(_RELOAD_S, self._ends - time.monotonic()))
        self._reloads.ask(wanted, wait_s, lambda p: self._events.put(Reloaded(stale, p)))

    def _ask_in_place(self, event: Reloaded) -> None:
        """Asks what the next placement has in place of the partitions that have moved on."""
        if event.placement.epoch > self._placement.epoch:
            self._placement = event.placement
        fresh = []
        for unit in event.units:
            old = unit.partition
            if self._open.get(old.id) is not unit:
                continue
            del self._open[old.id]
            for partition in in_place_of(old, self._placement):
                if self._read.concerns(partition):
                    added = OpenPartition(partition, reloaded=True, error=unit.error)
                    self._open[partition.id] = added
                    fresh.append(added)
        self._send(fresh, CallKind.RETRY)

    def _send(self, units: Sequence[OpenPartition], kind: CallKind) -> None:
        by_id = {unit.partition.id: unit for unit in units}

        def look(partition: Partition) -> list[Candidate]:
            return self._states.candidates(partition, by_id[partition.id].tried)

        groups, left_out = assign([unit.partition for unit in units], look)
        for address, partitions in groups.items():
            self._call(address, [by_id[p.id] for p in partitions], kind)
        for partition in left_out:
            unit = by_id[partition.id]
            if unit.in_flight or unit.reloading:
                continue
            if isinstance(unit.error, Unavailable) and not unit.again:
                unit.again = True
                unit.tried.clear()
                self._again.append(unit)
                self._again_at = min(self._again_at, time.monotonic() + _AGAIN_S)
            else:
                self._close(unit)

    def _see_to_slow(self, now: float) -> None:
        """Comes after the time that most calls take, and again at growing intervals."""
        self._tick_at = now + self._step_s
        self._step_s = min(2 * self._step_s, _LONGEST_STEP_S)
        for attempt in self._running.values():
            if attempt.stuck:
                continue
            overdue = now - attempt.began >= self._patience_s
            if overdue:
                self._states.overdue(attempt.address)
            attempt.stuck = overdue or self._states.failing(attempt.address)
        hopeful = {id(u) for a in self._running.values() if not a.stuck for u in a.units}
        waiting = [u for u in self._open.values() if u.in_flight and not u.reloading]
        stuck = [u for u in waiting if id(u) not in hopeful]
        if stuck:
            self._send(stuck, CallKind.RETRY)
        if self._delay_s is not None:
            self._hedge([u for u in waiting if id(u) in hopeful and not u.hedged], now)

    def _hedge(self, due: Sequence[OpenPartition], now: float) -> None:
        by_id = {unit.partition.id: unit for unit in due}

        def look(partition: Partition) -> list[Candidate]:
            others = self._states.candidates(partition, by_id[partition.id].tried)
            return [c for c in others if not (c.failing or c.behind or c.beaten)]

        groups, _ = assign([unit.partition for unit in due], look)
        for address, partitions in groups.items():
            units = [by_id[p.id] for p in partitions]
            began = min(a.began for a in self._running.values() if a.concerns(units))
            if self._hedging.allow(now - began):
                for unit in units:
                    unit.hedged = True
                self._call(address, units, CallKind.HEDGE)

    def _call(self, address: str, units: list[OpenPartition], kind: CallKind) -> None:
        if not self._read.grouped and len(units) > 1:
            for unit in units:
                self._call(address, [unit], kind)
            return
        now = time.monotonic()
        try:
            future = self._read.start(
                self._shards.stub(address),
                [unit.partition for unit in units],
                self._placement.epoch,
                self._scope,
            )
        except DeadlineExceeded:
            self._ends = now
            return
        attempt = Attempt(address, units, kind, self._placement.epoch, now, future)
        self._running[id(attempt)] = attempt
        for unit in units:
            unit.tried.add(address)
            unit.in_flight += 1
        self._states.began(address, self._load(units))
        self._metrics.called(kind)
        if kind is not CallKind.HEDGE:
            self._hedging.called()
            self._tick_at = min(self._tick_at, now + self._step_s)
        future.add_done_callback(lambda _: self._events.put(attempt))

    def _load(self, units: Sequence[OpenPartition]) -> int:
        return len(units) * self._read.questions

    def _close(self, unit: OpenPartition) -> None:
        del self._open[unit.partition.id]
        error = unit.error or no_answer()
        told = for_callers(error, unit.partition.id, "PARTITION_UNAVAILABLE")
        self._missed.append((unit.partition, told))

    def _give_up(self) -> None:
        """Cancels what still runs, and draws the conclusions."""
        now = time.monotonic()
        due_s = self._delay_s or 0.0
        for attempt in self._running.values():
            waited_s = now - attempt.began
            # Neither a caller who left nor a call that has just begun says anything of the shard.
            late = waited_s >= due_s and not self._scope.cancelled
            if late:
                self._hedging.ended(waited_s)
            late = late and not attempt.stuck  # that was counted already
            self._states.given_up(attempt.address, self._load(attempt.units), waited_s, late=late)
            attempt.future.cancel()  # type: ignore[no-untyped-call]
        self._running.clear()
