"""One write on its way to all replicas of one partition."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import grpc

from patchsearch.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PatchsearchError,
    Unavailable,
)
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from placement.document import Partition, Replica
from router.call_scope import CallScope, answer
from router.clock import HybridLogicalClock
from router.connections import ShardConnections
from router.replica_states import ReplicaStates
from router.stale_placement import STALE_PLACEMENT

BOUND_S = 30.0
"""Longest that a replica may take, in the background."""
WAIT_S = 10.0
"""Longest that acknowledgements are waited for."""
_LAST_WORDS_S = 0.3
MOST_UNANSWERED = 256
"""Writes that a shard may owe an answer; further ones are not sent, and it is behind."""


class Mutation(Protocol):
    """What a write does, for some of its ids."""

    def start(
        self,
        stub: ShardServiceStub,
        partition_id: str,
        image_ids: Sequence[str],
        version: int,
        epoch: int,
        timeout_s: float,
    ) -> grpc.CallFuture[Any]:
        """Sends it to one shard."""

    def flags(self, response: Any) -> Sequence[bool]:
        """By id, whether it changed anything there."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What replicas said of the ids of a write, in their order."""

    flags: list[bool]
    """Whether it changed anything on a replica that was waited for."""
    newest: list[int]
    """Highest version that is stored now, as far as they tell; 0 where none does."""


class Senders:
    """Sends writes to shards and keeps account of those that are unanswered. Thread-safe."""

    def __init__(
        self, shards: ShardConnections, states: ReplicaStates, clock: HybridLogicalClock
    ) -> None:
        """`clock` follows what the shards have stored."""
        self._shards = shards
        self._clock = clock
        self._states = states
        self._lock = threading.Lock()
        self._unanswered: dict[str, int] = {}

    def send(
        self,
        mutation: Mutation,
        partition: Partition,
        image_ids: Sequence[str],
        version: int,
        epoch: int,
        needed: int,
    ) -> ReplicaWrite:
        """Sends a write to all replicas at once, to those that are being filled too.

        It goes on whether or not `ReplicaWrite.wait` is called; a replica that does not take it is
        behind from then on.
        """
        write = ReplicaWrite(partition, len(image_ids), needed, mutation.flags)
        for replica in partition.written:
            if not self._admit(replica.address):
                self._states.missed(partition.id, replica.address)
                write.arrived(replica, None)
                continue
            call = mutation.start(
                self._shards.stub(replica.address),
                partition.id,
                image_ids,
                version,
                epoch,
                BOUND_S,
            )

            call.add_done_callback(partial(self._ended, write, replica, call))
        return write

    def _admit(self, address: str) -> bool:
        with self._lock:
            waiting = self._unanswered.get(address, 0)
            if waiting >= MOST_UNANSWERED:
                return False
            self._unanswered[address] = waiting + 1
            return True

    def _ended(
        self, write: ReplicaWrite, replica: Replica, call: grpc.CallFuture[Any], _: object
    ) -> None:
        with self._lock:
            self._unanswered[replica.address] -= 1
        try:
            self._clock.follow(answer(call).newest_version)
        except InvalidArgument:
            pass  # no replica takes it
        except PatchsearchError:
            self._states.missed(write.partition.id, replica.address)
        write.arrived(replica, call)


class ReplicaWrite:
    """A write that was sent. `wait` is for one thread."""

    def __init__(
        self,
        partition: Partition,
        ids: int,
        needed: int,
        flags: Callable[[Any], Sequence[bool]],
    ) -> None:
        self.partition = partition
        self._flags = flags
        self._needed = needed
        self._ids = ids
        self._voting = {replica.address for replica in partition.replicas}
        self._arrived: queue.SimpleQueue[tuple[Replica, grpc.CallFuture[Any] | None] | None]
        self._arrived = queue.SimpleQueue()
        self._leaving = threading.Lock()
        self._late: Callable[[Sequence[int]], None] | None = None

    def arrived(self, replica: Replica, call: grpc.CallFuture[Any] | None) -> None:
        """A replica's call has ended, or was never made."""
        with self._leaving:
            late = self._late
            if late is None:
                self._arrived.put((replica, call))
        if late is not None:
            self._tell(late, call)

    def leave_to(self, late: Callable[[Sequence[int]], None]) -> None:
        """Nobody waits any more: `late` gets the versions that are stored, by id, of every replica
        that answers from now on or has answered without being waited for."""
        with self._leaving:
            self._late = late
        while True:
            try:
                item = self._arrived.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                self._tell(late, item[1])

    @staticmethod
    def _tell(late: Callable[[Sequence[int]], None], call: grpc.CallFuture[Any] | None) -> None:
        try:
            late(_answer_of(call).stored_versions)
        except PatchsearchError:
            return  # it is behind, and noted as such

    def wait(self, scope: CallScope) -> Acknowledged:
        """Waits until enough replicas have it.

        Raises FailedPrecondition STALE_PLACEMENT where one has moved on; the replicas' own error
        where they agree on one that trying again cannot mend, or all are overloaded; Unavailable
        WRITE_NOT_ACKNOWLEDGED where too few have it; DeadlineExceeded; PatchsearchError CANCELLED
        when the caller is gone.
        """
        ends = time.monotonic() + min(WAIT_S, scope.remaining_s())
        told = Acknowledged([False] * self._ids, [0] * self._ids)
        errors: list[tuple[Replica, PatchsearchError]] = []
        acknowledged = 0
        with scope.on_cancel(lambda: self._arrived.put(None)):
            while acknowledged < self._needed:
                if acknowledged + len(errors) == len(self._voting):
                    raise self._too_few(acknowledged, errors)
                if len(self._voting) - len(errors) < self._needed:
                    # Too few already; what the others say makes a better message.
                    ends = min(ends, time.monotonic() + _LAST_WORDS_S)
                try:
                    item = self._arrived.get(timeout=max(0.0, ends - time.monotonic()))
                except queue.Empty:
                    scope.remaining_s()
                    raise self._too_few(acknowledged, errors) from None
                if item is None:
                    raise PatchsearchError("CANCELLED", "the caller cancelled the call")
                replica, call = item
                if replica.address not in self._voting:
                    continue
                try:
                    self._take(_answer_of(call), told)
                    acknowledged += 1
                except PatchsearchError as error:
                    if error.reason == STALE_PLACEMENT:
                        raise
                    errors.append((replica, error))
        return told

    def _take(self, response: Any, told: Acknowledged) -> None:
        for position, flag in enumerate(self._flags(response)):
            told.flags[position] |= flag
        # A shard of the version before does not tell them.
        for position, version in enumerate(response.stored_versions):
            told.newest[position] = max(told.newest[position], version)

    def _too_few(
        self, acknowledged: int, errors: Sequence[tuple[Replica, PatchsearchError]]
    ) -> PatchsearchError:
        reasons = {error.reason for _, error in errors}
        if len(reasons) == 1:
            agreed = errors[0][1]
            if agreed.reason == "OVERLOADED":
                return agreed
            retried = isinstance(agreed, Unavailable | DeadlineExceeded)
            if len(errors) == len(self._voting) and not retried:
                return agreed
        told = "; ".join(f"{r.shard} ({r.address}): {error.message}" for r, error in errors)
        silent = len(self._voting) - acknowledged - len(errors)
        if silent:
            told += f"{'; ' if told else ''}{silent} did not answer in time"
        return Unavailable(
            "WRITE_NOT_ACKNOWLEDGED",
            f"{acknowledged} of {len(self._voting)} replicas of partition {self.partition.id} have "
            f"the write and {self._needed} are asked for; send it again, or ask for fewer with "
            f"consistency. It may turn up nevertheless. {told}",
            metadata={
                "acknowledged": str(acknowledged),
                "needed": str(self._needed),
                "reasons": ",".join(sorted(reasons)),
            },
        )


def _answer_of(call: grpc.CallFuture[Any] | None) -> Any:
    if call is None:
        raise Unavailable(
            "SHARD_STUCK", f"it owes answers to {MOST_UNANSWERED} writes, so this one was not sent"
        )
    return answer(call)
