"""Looks at all replicas again and again, and has those repaired that lack something."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from patchsearch.errors import PatchsearchError, ResourceExhausted
from patchsearch.shard.v1 import shard_service_pb2
from placement.document import Partition, Placement, Replica
from placement.watch import PlacementWatch
from router.arrivals import Arrivals
from router.call_scope import CallScope, answer
from router.clock import HybridLogicalClock
from router.connections import ShardConnections
from router.coverage import PartitionSizes
from router.metrics import RouterMetrics
from router.repairs import Repairs
from router.replica_look import Look, look_at_replicas
from router.replica_states import ReplicaStates
from service_runtime.logs import logger

_LOOK_S = 2.0
_SOON_S = 1.0
"""Between looks while a shard is failing: nothing else finds out that it is back."""
_LEAST_PAUSE_S = 0.2
_PARTS = 256

Digests = Mapping[int, bytes]
"""Digests of the parts of a partition's range, by the first hash of the part."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """Where the replicas of a partition differed at a look."""

    began: float
    parts: frozenset[int]


def differing(replicas: Sequence[Digests]) -> frozenset[int]:
    """The parts, by their first hash, on which these replicas do not all agree."""
    starts = set().union(*replicas)
    return frozenset(s for s in starts if len({replica.get(s) for replica in replicas}) > 1)


class ReplicaKeeper:
    """Knows which replicas live, which are behind, and has them brought up. Thread-safe.

    A write under way makes replicas differ for a moment, so a difference counts when the same part
    of the hash range differs at two looks in a row, or a write to it is known to have failed. Who
    lacks what is not asked: replicas are brought up to each other both ways.
    """

    def __init__(
        self,
        shards: ShardConnections,
        states: ReplicaStates,
        placements: PlacementWatch,
        sizes: PartitionSizes,
        clock: HybridLogicalClock,
        metrics: RouterMetrics,
        *,
        interval_s: float,
        create_lost: Callable[[Partition], None],
    ) -> None:
        """`create_lost` is called for a partition that all its shards say they lack, and that was
        never there: shards that came late when the collection was new."""
        self._shards = shards
        self._states = states
        self._placements = placements
        self._sizes = sizes
        self._clock = clock
        self._interval_s = interval_s
        self._create_lost = create_lost
        self._scope = CallScope(lambda: _LOOK_S)
        self._draw = random.Random()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._unseen: set[str] = set()
        self._lost: set[tuple[str, str]] = set()
        self._held_once: set[str] = set()
        self._differed: dict[str, _Difference] = {}
        self._log = logger("replicas")
        self._repairs = Repairs(shards, metrics, self.hurry)
        states.call_when_failing(self.hurry)

    def start(self) -> None:
        """Looks from now on, in a thread of its own, until `stop`."""
        self._thread = threading.Thread(target=self._loop, name="replicas", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Looks again at once, or shortly after the last look. Thread-safe."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the looking and gives up repairs; again is not an error."""
        self._stopping.set()
        self._wake.set()
        self._scope.cancel()
        if self._thread is not None:
            self._thread.join()
        self._repairs.close()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except PatchsearchError as error:
                if not self._stopping.is_set():
                    self._log.warning("replicas not looked at", message=error.message)
            except Exception as defect:
                self._log.error("a look at the replicas failed on a defect", exc_info=defect)
            # Routers that were started together do not stay in step.
            pause_s = self._interval_s * self._draw.uniform(0.8, 1.2)
            if self._states.failing_count():
                pause_s = min(pause_s, _SOON_S)
            if self._stopping.wait(min(_LEAST_PAUSE_S, pause_s)):
                return
            self._wake.wait(pause_s)
            self._wake.clear()

    def look(self) -> None:
        """One look, and what follows from it. For one thread at a time."""
        placement = self._placements.current
        look = look_at_replicas(self._shards, placement, self._scope)
        for told in look.replicas.values():
            self._clock.follow(told.newest_version)
        # One that is too busy to tell is there.
        unseen = {a for a, e in look.errors.items() if not isinstance(e, ResourceExhausted)}
        back = self._unseen - unseen
        self._states.keep(
            (p.id, replica.address) for p in placement.partitions for replica in p.written
        )
        for partition in placement.partitions:
            for replica in look.holders(partition)[:1]:
                told = look.replicas[partition.id, replica.address]
                self._sizes.learn({partition.id: told.patches})
            self._distrust(partition, look, back)
        for address in look.held:
            self._states.seen(address)
        for address in unseen:
            self._states.unseen(address)
        self._unseen = unseen
        for partition in placement.partitions:
            self._compare(partition, look)
        self._see_to_lost(placement, look)

    def _distrust(self, partition: Partition, look: Look, back: set[str]) -> None:
        """A replica that was away and is not like the others has missed something: it is not read
        before it has been looked into."""
        digests = {
            r.address: look.replicas[partition.id, r.address].digest
            for r in look.holders(partition)
        }
        if len(set(digests.values())) > 1:
            for address in back & digests.keys():
                self._states.missed(partition.id, address)

    def _compare(self, partition: Partition, look: Look) -> None:
        holders = look.holders(partition)
        whole = {look.replicas[partition.id, r.address].digest for r in holders}
        if len(whole) <= 1:
            self._differed.pop(partition.id, None)
            # One that is left alone cannot be told from one that misses something.
            if len(holders) > 1 or len(partition.replicas) == 1:
                for replica in holders:
                    self._states.caught_up(partition.id, replica.address, look.began)
            return
        told = self._digests(partition, holders)
        if len(told) < 2:
            return
        now = _Difference(look.began, differing([digests for digests, _ in told.values()]))
        before = self._differed.get(partition.id)
        self._differed[partition.id] = now
        behind = [r for r in told if self._states.behind(partition.id, r.address)]
        lasting = before is not None and bool(now.parts & before.parts)
        if before is not None and not lasting and len(told) == len(partition.replicas):
            # Whatever they differed in at the last look they agree on by now.
            for replica in told:
                self._states.caught_up(partition.id, replica.address, before.began)
        if not (lasting or behind):
            return
        first = max(told, key=lambda r: (r not in behind, told[r][1]))
        others = [replica for replica in told if replica != first]
        for replica in others:
            if lasting and told[replica][1] < told[first][1]:
                self._states.missed(partition.id, replica.address)
        self._repairs.equalise(partition.id, first, others)

    def _digests(
        self, partition: Partition, holders: Sequence[Replica]
    ) -> dict[Replica, tuple[Digests, int]]:
        """The digests of the replicas' parts, and how many records they have together."""
        request = shard_service_pb2.DigestPartitionRequest(
            partition_id=partition.id,
            parts=min(_PARTS, partition.hash_end - partition.hash_start + 1),
        )
        arrivals: Arrivals[Replica, shard_service_pb2.DigestPartitionResponse] = Arrivals()
        for replica in holders:
            stub = self._shards.stub(replica.address)
            arrivals.add(replica, self._scope.start(stub.DigestPartition, request))
        told: dict[Replica, tuple[Digests, int]] = {}
        for replica, call in arrivals.until(time.monotonic() + _LOOK_S):
            try:
                ranges = answer(call).ranges
            except PatchsearchError:
                continue
            digests = {r.hash_start: r.digest for r in ranges}
            told[replica] = (digests, sum(r.records for r in ranges))
        return told

    def _see_to_lost(self, placement: Placement, look: Look) -> None:
        """Fills replicas again whose shard lacks them: a disk was replaced."""
        lost: set[tuple[str, str]] = set()
        for partition in placement.partitions:
            lacking, holders = look.lacking(partition), look.holders(partition)
            if holders:
                self._held_once.add(partition.id)
            for replica in lacking:
                lost.add((partition.id, replica.address))
                if holders:
                    self._states.missed(partition.id, replica.address)
            # Twice in a row, and in force still: it may have been moved away a moment ago.
            twice = [r for r in lacking if (partition.id, r.address) in self._lost]
            if not twice:
                continue
            self._placements.check()
            if self._placements.current.partition(partition.id) != partition:
                continue
            if holders:
                holders.sort(key=lambda r: self._states.behind(partition.id, r.address))
                self._repairs.refill(partition.id, twice[0], holders[0])
            elif len(lacking) == len(partition.replicas) and partition.id not in self._held_once:
                # One that was there before has moved on, or is lost: no empty one may pass for it.
                self._create_lost(partition)
        self._lost = lost
