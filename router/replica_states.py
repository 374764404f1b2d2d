"""What this router knows of shards and of the replicas that they hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from patchsearch.errors import PatchsearchError, Unavailable
from placement.document import Partition, Replica
from router.replica_choice import Candidate

_SMOOTHING = 0.2
_UNANSWERED_AT_MOST = 3
"""Calls in a row without an answer in time until a shard counts as failing."""


@dataclass(slots=True)
class _Shard:
    in_flight: int = 0
    latency_s: float = 0.0
    unanswered: int = 0
    failing: bool = False
    beaten: bool = False


def _nobody() -> None:
    """Is told nothing."""


class ReplicaStates:
    """Load and health by shard, and which replicas are behind. Thread-safe.

    A shard that cannot be reached, or leaves three calls in a row without an answer while another
    one answers, is failing until it answers something: a look of `ReplicaLooks` is enough, so that
    no search has to try. One that was beaten is left alone until then, too.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._on_failing: Callable[[], None] = _nobody
        self._lock = threading.Lock()
        self._shards: dict[str, _Shard] = {}
        self._behind: dict[tuple[str, str], float] = {}

    def call_when_failing(self, callback: Callable[[], None]) -> None:
        """Has `callback` called whenever a shard begins to fail; it must not block."""
        self._on_failing = callback

    def candidates(self, partition: Partition, without: Iterable[str] = ()) -> list[Candidate]:
        """The partition's replicas that may be read, but for some addresses."""
        with self._lock:
            return [
                self._candidate(partition, replica)
                for replica in partition.replicas
                if replica.address not in without
            ]

    def began(self, address: str, load: int) -> None:
        """A call is on its way, which asks `load` partitions, or fewer several things each."""
        with self._lock:
            self._shard(address).in_flight += load

    def answered(self, address: str, load: int, seconds: float) -> None:
        """It was answered, with whatever."""
        with self._lock:
            shard = self._shard(address)
            shard.in_flight -= load
            self._alive(shard)
            shard.latency_s += (
                _SMOOTHING * (seconds - shard.latency_s) if shard.latency_s else seconds
            )

    def given_up(self, address: str, load: int, seconds: float, *, late: bool) -> None:
        """It was cancelled, or ran out of time, after this time; `late` says whether an answer was
        due by then."""
        with self._lock:
            shard = self._shard(address)
            shard.in_flight -= load
            if not late:
                return
            self._unanswered(shard)
            if seconds > shard.latency_s:
                shard.latency_s += _SMOOTHING * (seconds - shard.latency_s)

    def beaten(self, address: str) -> None:
        """Another replica answered in its place, long after it was due: others are asked until it
        answers, and it is looked at soon."""
        with self._lock:
            shard = self._shard(address)
            if not shard.beaten:
                shard.beaten = True
                self._on_failing()

    def overdue(self, address: str) -> None:
        """A call is under way for so long that no answer is expected any more."""
        with self._lock:
            self._unanswered(self._shard(address))

    def failed(self, address: str, load: int, seconds: float, error: PatchsearchError) -> None:
        """It ended with an error."""
        if isinstance(error, Unavailable):
            with self._lock:
                shard = self._shard(address)
                shard.in_flight -= load
                self._fail(shard)
        else:
            self.given_up(address, load, seconds, late=True)

    def seen(self, address: str) -> None:
        """The shard answered a look."""
        with self._lock:
            self._alive(self._shard(address))

    def unseen(self, address: str) -> None:
        """The shard did not answer a look."""
        with self._lock:
            self._fail(self._shard(address))

    def failing(self, address: str) -> bool:
        """Whether a shard is failing."""
        with self._lock:
            return self._shard(address).failing

    def failing_count(self) -> int:
        """Shards that are failing."""
        with self._lock:
            return sum(shard.failing for shard in self._shards.values())

    def missed(self, partition_id: str, address: str) -> None:
        """A replica did not take a write that others may have."""
        with self._lock:
            self._behind[partition_id, address] = self._clock()

    def caught_up(self, partition_id: str, address: str, as_of: float) -> None:
        """A look that began `as_of` (monotonic seconds) found nothing missing on a replica."""
        with self._lock:
            since = self._behind.get((partition_id, address))
            if since is not None and since < as_of:
                del self._behind[partition_id, address]

    def behind(self, partition_id: str, address: str) -> bool:
        """Whether a replica is known to miss writes."""
        return (partition_id, address) in self._behind

    def behind_count(self) -> int:
        """Replicas that are behind."""
        return len(self._behind)

    def keep(self, written: Iterable[tuple[str, str]]) -> None:
        """Forgets what is not among these pairs of partition id and address."""
        kept = set(written)
        addresses = {address for _, address in kept}
        with self._lock:
            self._behind = {k: v for k, v in self._behind.items() if k in kept}
            self._shards = {
                address: shard
                for address, shard in self._shards.items()
                if address in addresses or shard.in_flight
            }

    def _alive(self, shard: _Shard) -> None:
        shard.unanswered = 0
        shard.failing = shard.beaten = False

    def _unanswered(self, shard: _Shard) -> None:
        shard.unanswered += 1
        if shard.unanswered >= _UNANSWERED_AT_MOST:
            self._fail(shard)

    def _fail(self, shard: _Shard) -> None:
        if not shard.failing:
            shard.failing = True
            self._on_failing()

    def _candidate(self, partition: Partition, replica: Replica) -> Candidate:
        shard = self._shard(replica.address)
        return Candidate(
            replica.address,
            failing=shard.failing,
            behind=(partition.id, replica.address) in self._behind,
            beaten=shard.beaten,
            in_flight=shard.in_flight,
            latency_s=shard.latency_s,
        )

    def _shard(self, address: str) -> _Shard:
        shard = self._shards.get(address)
        if shard is None:
            shard = self._shards[address] = _Shard()
        return shard
