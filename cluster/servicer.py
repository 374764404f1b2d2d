"""The gRPC face of the operations, for controllers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from cluster.events import Copied, Event, Halved, in_words
from cluster.operator import Operator, Outcome
from cluster.plan import Plan
from cluster.planning import Planner
from cluster.status import ClusterStatus, PartitionStatus, ShardStatus, cluster_status
from patchsearch.cluster.v1 import cluster_service_pb2 as pb
from patchsearch.cluster.v1.cluster_service_pb2_grpc import (
    ClusterServiceServicer,
    add_ClusterServiceServicer_to_server,
)
from patchsearch.errors import InvalidArgument
from service_runtime.server import Service

SERVICE_NAME = "patchsearch.cluster.v1.ClusterService"

_LOOK_S = 0.5

_CONDITIONS = {
    "ok": pb.REPLICA_CONDITION_OK,
    "behind": pb.REPLICA_CONDITION_BEHIND,
    "joining": pb.REPLICA_CONDITION_JOINING,
    "missing": pb.REPLICA_CONDITION_MISSING,
    "away": pb.REPLICA_CONDITION_AWAY,
}


class _CallerLeft(Exception):
    """Ends an operation whose caller does not listen any more."""


class ClusterServicer(ClusterServiceServicer):
    """Serves an `Operator`; raises the errors of `patchsearch.errors`. Thread-safe."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def GetClusterStatus(
        self, request: pb.GetClusterStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetClusterStatusResponse:
        return _status(cluster_status(self._operator.survey()))

    def RunOperation(
        self, request: pb.RunOperationRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RunOperationResponse]:
        make, besides = _operation(request)
        plan = self._operator.plan(make, besides)
        yield pb.RunOperationResponse(plan=_plan(plan))
        if request.dry_run:
            return
        carry_out = lambda tell: self._operator.carry_out(plan, tell)  # noqa: E731
        for told in _events(carry_out, context.is_active):
            if isinstance(told, Outcome):
                yield pb.RunOperationResponse(outcome=_outcome(told))
            else:
                yield pb.RunOperationResponse(progress=_progress(told))


def cluster_service(operator: Operator) -> Service:
    """The service to be run by `service_runtime`."""
    return Service(SERVICE_NAME, ClusterServicer(operator), add_ClusterServiceServicer_to_server)


def _events(
    carry_out: Callable[[Callable[[Event], None]], Outcome], listening: Callable[[], bool]
) -> Iterator[Event | Outcome]:
    """What an operation tells, in a thread of its own, and its outcome in the end.

    A caller that stops listening ends the operation at its next event.
    """
    told: queue.SimpleQueue[Event | Outcome | BaseException] = queue.SimpleQueue()
    left = threading.Event()

    def tell(event: Event) -> None:
        if left.is_set():
            raise _CallerLeft
        told.put(event)

    def work() -> None:
        try:
            told.put(carry_out(tell))
        except _CallerLeft:
            return
        except BaseException as error:
            told.put(error)

    threading.Thread(target=work, name="cluster-operation", daemon=True).start()
    try:
        while listening():
            try:
                one = told.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(one, BaseException):
                raise one
            yield one
            if isinstance(one, Outcome):
                return
    finally:
        left.set()


def _operation(
    request: pb.RunOperationRequest,
) -> tuple[Callable[[Planner], Plan], dict[str, str] | None]:
    kind = request.WhichOneof("operation")
    if kind == "add_shard":
        add = request.add_shard
        if not add.shard or ":" not in add.address:
            raise InvalidArgument(
                "SHARD_INVALID", f"{add.shard!r} at {add.address!r}: give a name and host:port"
            )
        return lambda p: p.add_shard(add.shard, add.address), {add.shard: add.address}
    if kind == "split_partitions":
        split = request.split_partitions
        larger = split.larger_than if split.HasField("larger_than") else None
        if not split.partition_ids and larger is None:
            raise InvalidArgument("PARTITION_MISSING", "name partitions, or give larger_than")
        return lambda p: p.split(split.partition_ids, larger), None
    makers: dict[str, Callable[[Planner], Plan]] = {
        "remove_shard": lambda p: p.remove_shard(
            request.remove_shard.shard, lost=request.remove_shard.lost
        ),
        "move_partition": lambda p: p.move(
            request.move_partition.partition_id,
            request.move_partition.source,
            request.move_partition.target,
        ),
        "rebalance": lambda p: p.rebalance(),
        "set_replicas": lambda p: p.set_replicas(
            request.set_replicas.count, request.set_replicas.partition_ids
        ),
        "repair": lambda p: p.repair(request.repair.partition_ids, abandon=request.repair.abandon),
    }
    if kind is None:
        raise InvalidArgument("OPERATION_MISSING", "the request names no operation; set one")
    return makers[kind], None


def _plan(plan: Plan) -> pb.Plan:
    changes: list[Any] = [*plan.members, *plan.splits, *plan.repairs]
    told = [*plan.notes, *(one.what for one in plan.leftovers)]
    return pb.Plan(
        epoch=plan.epoch,
        changes=[
            pb.PlannedChange(
                partition_id=change.partition_id,
                what=change.what,
                copied_bytes=change.copied_bytes,
            )
            for change in changes
        ],
        copied_bytes=plan.copied_bytes,
        seconds=plan.seconds,
        notes=told,
        empty=plan.empty,
    )


def _progress(event: Event) -> pb.Progress:
    partition_id = getattr(event, "partition_id", "")
    if isinstance(event, Copied):
        what = f"copied to {event.shard}"
        return pb.Progress(
            partition_id=partition_id, what=what, done=event.done_bytes, total=event.total_bytes
        )
    if isinstance(event, Halved):
        what = f"halved on {event.shard}"
        return pb.Progress(
            partition_id=partition_id, what=what, done=event.moved_images, total=event.total_images
        )
    return pb.Progress(partition_id=partition_id, what=in_words(event))


def _outcome(outcome: Outcome) -> pb.Outcome:
    return pb.Outcome(
        epoch=outcome.epoch,
        seconds=outcome.seconds,
        copied_bytes=outcome.copied_bytes,
        left_undone=outcome.left_undone,
    )


def _status(status: ClusterStatus) -> pb.GetClusterStatusResponse:
    return pb.GetClusterStatusResponse(
        epoch=status.epoch,
        shards=[_shard(shard) for shard in status.shards],
        partitions=[_partition(partition) for partition in status.partitions],
        leftovers=[one.what for one in status.leftovers],
        well=status.well,
    )


def _shard(shard: ShardStatus) -> pb.ShardStatus:
    return pb.ShardStatus(
        shard=shard.shard,
        address=shard.address,
        available=shard.available,
        problem=shard.problem,
        partitions=shard.partitions,
        joining=shard.joining,
        images=shard.images,
        patches=shard.patches,
        disk_bytes=shard.disk_bytes,
        missing_partition_ids=shard.missing,
        behind_partition_ids=shard.behind,
        activity=shard.activity,
    )


def _partition(partition: PartitionStatus) -> pb.PartitionStatus:
    return pb.PartitionStatus(
        partition_id=partition.partition_id,
        hash_start=int(partition.hash_start, 16),
        hash_end=int(partition.hash_end, 16),
        images=partition.images,
        patches=partition.patches,
        disk_bytes=partition.disk_bytes,
        replicas=[
            pb.ReplicaStatus(
                shard=replica.shard,
                condition=_CONDITIONS[replica.state],
                images=replica.images,
                patches=replica.patches,
            )
            for replica in partition.replicas
        ],
    )
