from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import grpc
import pytest

from cluster.servicer import cluster_service
from patchsearch.cluster.v1 import cluster_service_pb2 as pb
from patchsearch.cluster.v1.cluster_service_pb2_grpc import ClusterServiceStub
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer
from service_runtime.settings import ServiceSettings
from tests.cluster.conftest import MakeCluster
from tests.cluster.fake_cluster import FakeCluster

TIMEOUT_S = 60.0


@contextmanager
def served(cluster: FakeCluster) -> Iterator[ClusterServiceStub]:
    service = cluster_service(cluster.operator)
    with (
        ServiceServer(ServiceSettings(drain_s=0), [service]) as server,
        closing(open_channel(server.address, max_attempts=1)) as channel,
    ):
        yield ClusterServiceStub(channel)


def test_a_controller_moves_a_partition_and_sees_how_far_it_is(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=3, spare=0, partitions=2, replicas=1)
    for i in range(20):
        cluster.write(f"image-{i}")
    with served(cluster) as stub:
        move = pb.MovePartition(partition_id="p0", source="shard-0", target="shard-2")
        dry = list(stub.RunOperation(pb.RunOperationRequest(move_partition=move, dry_run=True)))
        assert [one.WhichOneof("told") for one in dry] == ["plan"]
        assert cluster.shards_of("p0") == ["shard-0"]
        plan, *progress, last = stub.RunOperation(
            pb.RunOperationRequest(move_partition=move), timeout=TIMEOUT_S
        )
        assert plan.plan.changes[0].what == "shard-0 -> shard-2"
        assert plan.plan.copied_bytes == last.outcome.copied_bytes > 0
        assert any(one.progress.total for one in progress)
        assert last.outcome.epoch == cluster.placement.epoch
        assert cluster.shards_of("p0") == ["shard-2"]
        again, outcome = stub.RunOperation(pb.RunOperationRequest(move_partition=move))
        assert again.plan.empty and outcome.outcome.copied_bytes == 0
        status = stub.GetClusterStatus(pb.GetClusterStatusRequest())
        assert status.well and status.epoch == cluster.placement.epoch
        assert [p.partition_id for p in status.partitions] == ["p0", "p1"]
        assert status.partitions[0].replicas[0].condition == pb.REPLICA_CONDITION_OK
    cluster.settled()


def test_every_operation_can_be_asked_for(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=3, spare=1, partitions=4, replicas=1)
    for i in range(40):
        cluster.write(f"image-{i}")
    requests = [
        pb.RunOperationRequest(
            add_shard=pb.AddShard(shard="shard-3", address=cluster.addresses["shard-3"])
        ),
        pb.RunOperationRequest(set_replicas=pb.SetReplicas(count=2)),
        pb.RunOperationRequest(split_partitions=pb.SplitPartitions(partition_ids=["p1"])),
        pb.RunOperationRequest(rebalance=pb.Rebalance()),
        pb.RunOperationRequest(repair=pb.Repair()),
        pb.RunOperationRequest(remove_shard=pb.RemoveShard(shard="shard-0")),
    ]
    with served(cluster) as stub:
        for request in requests:
            *_, last = stub.RunOperation(request, timeout=TIMEOUT_S)
            assert last.WhichOneof("told") == "outcome"
    assert sorted(cluster.placement.shards) == ["shard-1", "shard-2", "shard-3"]
    assert len(cluster.placement.partitions) == 5
    cluster.settled()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.RunOperationRequest(), "OPERATION_MISSING"),
        (pb.RunOperationRequest(add_shard=pb.AddShard(shard="x")), "SHARD_INVALID"),
        (pb.RunOperationRequest(split_partitions=pb.SplitPartitions()), "PARTITION_MISSING"),
        (
            pb.RunOperationRequest(move_partition=pb.MovePartition(partition_id="p9")),
            "PARTITION_UNKNOWN",
        ),
        (
            pb.RunOperationRequest(
                move_partition=pb.MovePartition(partition_id="p0", source="x", target="y")
            ),
            "SHARD_UNKNOWN",
        ),
        (
            pb.RunOperationRequest(set_replicas=pb.SetReplicas(count=0)),
            "REPLICAS_OUT_OF_RANGE",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    fake_cluster: MakeCluster, request_: pb.RunOperationRequest, reason: str
) -> None:
    cluster = fake_cluster(shards=1, spare=0, partitions=1, replicas=1)
    with served(cluster) as stub, pytest.raises(grpc.RpcError) as caught:
        list(stub.RunOperation(request_, timeout=TIMEOUT_S))
    assert error_from_rpc(caught.value).reason == reason


def test_an_operation_whose_caller_leaves_ends_and_can_be_gone_on_with(
    fake_cluster: MakeCluster,
) -> None:
    cluster = fake_cluster(shards=2, spare=0, partitions=1, replicas=1)
    for i in range(20):
        cluster.write(f"image-{i}")
    on = cluster.shards_of("p0")
    (free,) = set(cluster.placement.shards) - set(on)
    held, go_on = threading.Event(), threading.Event()
    cluster.fakes[free].when_pulling = lambda: (held.set(), go_on.wait(30))
    move = pb.MovePartition(partition_id="p0", source=on[0], target=free)
    with served(cluster) as stub:
        call = stub.RunOperation(pb.RunOperationRequest(move_partition=move), timeout=TIMEOUT_S)
        next(call)
        assert held.wait(30)
        call.cancel()
        go_on.set()
        # While the first one has not noticed yet, they exclude each other; then one goes on.
        request = pb.RunOperationRequest(move_partition=move)
        reasons: list[str] = []
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            try:
                *_, last = stub.RunOperation(request, timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                reasons.append(error_from_rpc(error).reason)
            else:
                break
        assert set(reasons) <= {"PLACEMENT_CHANGED", "SOURCE_FAILED", "PARTITION_NOT_FOUND"}
        assert last.outcome.epoch == cluster.placement.epoch
    assert cluster.shards_of("p0") == [free]
    cluster.settled()
