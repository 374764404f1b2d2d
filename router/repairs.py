"""Repairs of replicas: shards are told what to fetch from where, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.wire.status import error_from_rpc
from placement.document import Replica
from router.call_scope import CallScope
from router.connections import ShardConnections
from router.metrics import RouterMetrics
from service_runtime.logs import logger

_AT_A_TIME = 2
_REPAIR_S = 600.0
_PULL_S = 6 * 3600.0


class Repairs:
    """Runs repairs in the background, one a partition. Thread-safe.

    The shards do the work and find out themselves what there is to do, so that two routers which
    ask for the same only ask twice.
    """

    def __init__(
        self, shards: ShardConnections, metrics: RouterMetrics, done: Callable[[], None]
    ) -> None:
        """`done` is called after every repair that changed something."""
        self._shards = shards
        self._metrics = metrics
        self._done = done
        self._threads = ThreadPoolExecutor(_AT_A_TIME, "repair")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._scope = CallScope(lambda: _REPAIR_S)
        self._pulls = CallScope(lambda: _PULL_S)
        self._log = logger("repair")

    def equalise(self, partition_id: str, first: Replica, others: Sequence[Replica]) -> None:
        """Brings all others up to the first and the first up to all others."""

        def work() -> int:
            changed = 0
            for other in others:
                changed += self._repair(partition_id, other, first)
                changed += self._repair(partition_id, first, other)
            return changed

        self._start("repair", partition_id, work)

    def refill(self, partition_id: str, target: Replica, source: Replica) -> None:
        """Has a shard fetch a partition whole that it has lost."""

        def work() -> int:
            request = shard_service_pb2.PullPartitionRequest(
                partition_id=partition_id, source=source.address
            )
            call = self._shards.stub(target.address).PullPartition(request, timeout=_PULL_S)
            with self._pulls.on_cancel(call.cancel):
                for _ in call:
                    pass
            self._log.info("replica refilled", partition=partition_id, shard=target.shard)
            return 1

        self._start("pull", partition_id, work)

    def close(self) -> None:
        """Gives up what is under way; the shards keep what they have."""
        self._scope.cancel()
        self._pulls.cancel()
        self._threads.shutdown(cancel_futures=True)

    def _start(self, kind: str, partition_id: str, work: Callable[[], int]) -> None:
        with self._lock:
            if partition_id in self._under_way or self._scope.cancelled:
                return
            self._under_way.add(partition_id)
        self._metrics.repaired(kind, "started")
        self._threads.submit(self._run, kind, partition_id, work)

    def _run(self, kind: str, partition_id: str, work: Callable[[], int]) -> None:
        outcome = "failed"
        try:
            changed = work()
            outcome = "done"
        except (PatchsearchError, grpc.RpcError) as error:
            changed = 0
            told = error if isinstance(error, PatchsearchError) else error_from_rpc(error)
            if not self._scope.cancelled:
                self._log.warning(
                    "repair failed; it is tried again",
                    kind=kind,
                    partition=partition_id,
                    reason=told.reason,
                    message=told.message,
                )
        finally:
            with self._lock:
                self._under_way.discard(partition_id)
            self._metrics.repaired(kind, outcome)
        if changed:
            self._done()

    def _repair(self, partition_id: str, target: Replica, source: Replica) -> int:
        request = shard_service_pb2.RepairPartitionRequest(
            partition_id=partition_id, source=source.address
        )
        stub = self._shards.stub(target.address)
        told = self._scope.call(stub.RepairPartition, request)
        if told.images or told.deletions:
            self._log.info(
                "replica repaired",
                partition=partition_id,
                shard=target.shard,
                source=source.shard,
                images=told.images,
                deletions=told.deletions,
            )
        return told.images + told.deletions
