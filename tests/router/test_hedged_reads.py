"""A replica that stops when the hedges for ordinary slow calls are spent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing

import grpc
from prometheus_client import CollectorRegistry

from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from placement.document import Partition
from placement.file_store import FilePlacementStore
from placement.watch import PlacementWatch
from router.call_scope import CallScope
from router.connections import ShardConnections
from router.hedging import Hedging
from router.metrics import RouterMetrics
from router.partition_reads import PartitionReads
from router.reading import ReadMeans
from router.reloads import Reloads
from router.replica_states import ReplicaStates
from service_runtime.clients import open_channel
from tests.contract.cluster import write_placement
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard

USUAL_S = 0.08


class Get:
    """Reads an image that nobody has."""

    grouped = True
    questions = 1

    def concerns(self, partition: Partition) -> bool:
        return True

    def start(
        self, stub: ShardServiceStub, partitions: Sequence[Partition], epoch: int, scope: CallScope
    ) -> grpc.CallFuture[pb.GetImagesResponse]:
        return scope.start(stub.GetImages, pb.GetImagesRequest(image_ids=["a"]))

    def errors(
        self, response: pb.GetImagesResponse, partitions: Sequence[Partition]
    ) -> Mapping[str, PatchsearchError]:
        return {}


class Reader:
    """Reads from two replicas of one partition, with a budget of its own."""

    def __init__(self, stage: Stage, shards: list[FakeShard]) -> None:
        write_placement(
            stage.placement, [stage.shard(one) for one in shards], partitions=1, replicas=2
        )
        self.placements = PlacementWatch(FilePlacementStore(stage.placement))
        self.connections = ShardConnections(lambda at: open_channel(at, max_attempts=1))
        self.reloads = Reloads(self.placements)
        self.hedging = Hedging(0.1)
        self.states = ReplicaStates()
        self.replicas = self.placements.current.partitions[0].replicas
        self.registry = CollectorRegistry()
        self._reads = PartitionReads(
            ReadMeans(
                self.connections,
                self.states,
                self.reloads,
                self.hedging,
                RouterMetrics(self.registry),
            )
        )

    def read(self) -> float:
        """Seconds that it took; it must be answered."""
        began = time.monotonic()
        placement = self.placements.current
        scope = CallScope(lambda: 10.0)
        result = self._reads.run(Get(), placement.partitions, placement, scope)
        assert len(result.answers) == 1 and not result.missed
        return time.monotonic() - began

    def calls(self, kind: str) -> float:
        name = "patchsearch_router_shard_calls_total"
        return self.registry.get_sample_value(name, {"kind": kind}) or 0.0

    def close(self) -> None:
        self.reloads.close()
        self.placements.stop()
        self.connections.close()


def test_it_is_hedged_from_the_reserve_and_left_alone_at_once(stage: Stage) -> None:
    stopped, good = FakeShard(), FakeShard()
    with closing(Reader(stage, [stopped, good])) as reader:
        reader.read()
        for _ in range(512):
            reader.hedging.ended(USUAL_S)
        while reader.hedging.allow():
            pass
        stopped.runs.clear()
        # It was the quicker one so far.
        for replica, seconds in zip(reader.replicas, (0.0001, 60), strict=True):
            reader.states.began(replica.address, 1)
            reader.states.answered(replica.address, 1, seconds)
        assert reader.read() < reader.hedging.patience_s
        assert (reader.calls("hedge"), reader.calls("retry")) == (1, 0)
        for _ in range(20):
            reader.read()
        assert (reader.calls("hedge"), reader.calls("retry")) == (1, 0)
