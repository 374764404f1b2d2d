"""What the router checks before it serves, and what it does when the placement changes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from patchsearch.errors import FailedPrecondition, Unavailable
from patchsearch.v1.search_service_pb2 import DescribeCollectionRequest
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from placement.document import HASH_END
from router.program import Router
from router.settings import RouterSettings
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer
from tests.contract.cluster import RunningRouter, refused, write_placement
from tests.contract.fake_encoder import FINGERPRINT
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard

Wait = Callable[[Callable[[], bool]], None]


def epoch_of(router: RunningRouter) -> int:
    return router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10).epoch


def test_partitions_are_created_where_asked_for(stage: Stage) -> None:
    shards = [FakeShard(), FakeShard()]
    router = stage.router(shards, partitions=3)
    assert [sorted(s.partitions) for s in shards] == [["p0", "p2"], ["p1"]]
    told = router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10)
    assert [p.available for p in told.partitions] == [True] * 3
    assert (told.encoder, told.fingerprint, told.patches) == ("fake", FINGERPRINT, 30)


def test_a_missing_partition_is_refused_with_the_remedy(stage: Stage) -> None:
    with pytest.raises(FailedPrecondition, match="--create-partitions") as caught:
        stage.router([FakeShard()], create_partitions=False)
    assert caught.value.reason == "PARTITION_NOT_FOUND"


def test_vectors_of_another_encoder_are_refused_by_both_names(stage: Stage) -> None:
    shard = FakeShard()
    shard.hold("p0", 0, HASH_END, "0" * 32)
    with pytest.raises(FailedPrecondition, match=r"the-encoder-before.*encoder is fake") as caught:
        stage.router([shard])
    assert caught.value.reason == "ENCODER_MISMATCH"


def test_a_partition_of_another_range_is_refused(stage: Stage) -> None:
    shard = FakeShard()
    shard.hold("p0", 0, 5, FINGERPRINT)
    with pytest.raises(FailedPrecondition, match="mend the placement") as caught:
        stage.router([shard])
    assert caught.value.reason == "PLACEMENT_INVALID"


def test_without_an_encoder_the_router_gives_up_in_time(stage: Stage) -> None:
    write_placement(stage.placement, [stage.shard(FakeShard())])
    began = time.monotonic()
    with pytest.raises(Unavailable, match="--startup-timeout-s") as caught:
        stage.router([FakeShard()], encoder="127.0.0.1:1", startup_timeout_s=0.3)
    assert caught.value.reason == "NOT_READY"
    assert time.monotonic() - began < 10


def test_one_missing_shard_of_two_means_degraded_and_not_dead(stage: Stage) -> None:
    present = FakeShard(patches=4)
    write_placement(stage.placement, [stage.shard(present), "127.0.0.1:1"])
    router = stage.start(startup_timeout_s=0.3)
    told = router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10)
    assert [p.available for p in told.partitions] == [True, False]


def test_calls_before_the_router_knows_its_collection_are_told_to_wait(stage: Stage) -> None:
    write_placement(stage.placement, [stage.shard(FakeShard())])
    settings = RouterSettings(
        port=0, placement=stage.placement, encoder=stage.encoder_address, create_partitions=True
    )
    router = Router(settings)
    with (
        ServiceServer(settings, [router.service]) as server,
        open_channel(server.address) as channel,
    ):
        stub = SearchServiceStub(channel)
        error = refused(stub.DescribeCollection, DescribeCollectionRequest())
        assert (error.code, error.reason) == ("UNAVAILABLE", "NOT_READY")
        router.warm_up()
        assert stub.DescribeCollection(DescribeCollectionRequest(), timeout=10).epoch == 1
    router.close()


def test_a_new_epoch_is_served_without_a_restart(stage: Stage, wait_until: Wait) -> None:
    first, second = FakeShard(patches=1), FakeShard(patches=2)
    router = stage.router([first])
    write_placement(stage.placement, [stage.shard(second)], epoch=2)
    wait_until(lambda: epoch_of(router) == 2)
    told = router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10)
    assert told.patches == 2
    assert list(second.partitions) == ["p0"]
