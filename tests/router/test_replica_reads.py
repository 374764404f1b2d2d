"""Searches over replicas that fail, hang, are slow, or have moved on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from patchsearch.errors import (
    InternalError,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    ResourceExhausted,
    Unavailable,
)
from patchsearch.v1.search_service_pb2 import DescribeCollectionRequest, GetImageRequest
from placement.document import load_placement
from tests.contract.cluster import RunningRouter, refused, write_placement
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard
from tests.router.test_fan_out import hit, ids, request

Wait = Callable[[Callable[[], bool]], None]


def count(router: RunningRouter, name: str, **labels: str) -> float:
    return router.router.registry.get_sample_value(f"patchsearch_router_{name}", labels) or 0.0


def warm(router: RunningRouter, searches: int = 40) -> None:
    """Gives the router something to go by."""
    for _ in range(searches):
        router.stub.Search(request(), timeout=10)


def pair(name: str = "a", **fields: object) -> list[FakeShard]:
    return [FakeShard([hit(name, 0.9)], **fields) for _ in range(2)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("NOT_READY", "stopping"),
        ResourceExhausted("OVERLOADED", "full", retry_after_s=1),
        InternalError("INTERNAL", "a defect"),
    ],
)
def test_what_one_replica_refuses_another_answers(stage: Stage, error: PatchsearchError) -> None:
    shards = pair()
    router = stage.router(shards, partitions=1, replicas=2, repair_interval_s=3600)
    shards[0].error = error
    for _ in range(10):
        response = router.stub.Search(request(), timeout=10)
        assert ids(response) == ["a"]
        assert not response.coverage.degraded
    assert shards[0].searches
    assert count(router, "shard_calls_total", kind="retry") >= 1


def test_a_partition_that_one_replica_cannot_search_is_searched_at_another(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, partitions=2, replicas=2, repair_interval_s=3600)
    for shard in shards:
        shard.refused["p0"] = Unavailable("NOT_READY", "still opening")
        response = router.stub.Search(request(), timeout=10)
        assert response.coverage.partitions_answered == 2
        shard.refused.clear()


def test_the_callers_own_mistake_is_not_tried_again(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, partitions=1, replicas=2)
    for shard in shards:
        shard.error = InvalidArgument("VECTOR_INVALID", "no vector")
    assert refused(router.stub.Search, request()).reason == "VECTOR_INVALID"
    assert len(shards[0].searches + shards[1].searches) == 1


def test_a_shard_that_is_gone_is_seen_by_no_search(stage: Stage) -> None:
    shards = [FakeShard([hit(f"i{n}", 0.9 - n / 10)]) for n in range(3)]
    router = stage.router(shards, replicas=2)
    stage.servers[1].stop(0)
    for _ in range(20):
        response = router.stub.Search(request(), timeout=10)
        assert not response.coverage.degraded
        assert response.coverage.partitions_total == 3


def test_with_all_replicas_gone_the_answer_says_so(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, replicas=2)
    for server in stage.servers:
        server.stop(0)
    error = refused(router.stub.Search, request())
    assert (error.code, error.reason) == ("UNAVAILABLE", "COVERAGE_TOO_LOW")
    assert "shard-0" in error.message
    assert "shard-1" in error.message


def test_a_slow_replica_is_hedged_and_the_loser_is_cancelled(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, partitions=1, replicas=2, repair_interval_s=3600)
    warm(router)
    # Whichever is asked first: one of the two turns meets it.
    met = 0
    for shard in shards:
        asked = len(shard.searches)
        shard.go_on.clear()
        for _ in range(3):
            assert ids(router.stub.Search(request(), timeout=10)) == ["a"]
        if len(shard.searches) > asked:
            met += 1
            assert shard.cancelled.wait(5)
        shard.go_on.set()
    assert met
    assert count(router, "hedges_won_total") >= 1
    assert count(router, "shard_calls_total", kind="hedge") >= 1


def test_a_paused_shard_costs_a_few_hedges_and_is_left_alone_then(
    stage: Stage, wait_until: Wait
) -> None:
    shards = [FakeShard([hit(f"i{n}", 0.9)]) for n in range(3)]
    router = stage.router(shards, partitions=6, replicas=2, repair_interval_s=3600)
    warm(router)
    shards[0].runs.clear()
    took = []
    for _ in range(60):
        began = time.monotonic()
        assert not router.stub.Search(request(), timeout=10).coverage.degraded
        took.append(time.monotonic() - began)
    assert max(took) < 5
    wait_until(lambda: count(router, "shards_failing") == 1)
    asked = len(shards[0].searches)
    warm(router, 20)
    assert len(shards[0].searches) == asked
    first, hedges = (count(router, "shard_calls_total", kind=kind) for kind in ("first", "hedge"))
    assert hedges <= 10 + 0.1 * first
    # It is asked again as soon as it answers a look.
    shards[0].runs.set()
    wait_until(lambda: count(router, "shards_failing") == 0)
    assert not router.stub.Search(request(), timeout=10).coverage.degraded


def test_without_a_budget_nothing_is_hedged(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, partitions=1, replicas=2, hedge_share=0)
    for shard in shards:
        shard.slow_s = 0.15
    response = router.stub.Search(request(), timeout=10)
    assert not response.coverage.degraded
    assert len(shards[0].searches + shards[1].searches) == 1


def test_replicas_that_all_hang_do_not_hold_the_answer(stage: Stage) -> None:
    good, *hanging = FakeShard([hit("a", 0.9)]), FakeShard(), FakeShard()
    addresses = [stage.shard(s) for s in (good, *hanging)]
    write_placement(stage.placement, addresses, partitions=3, replicas=2)
    router = stage.start(merge_reserve_ms=100)
    warm(router)
    for shard in hanging:
        shard.go_on.clear()
    began = time.monotonic()
    response = router.stub.Search(request(), timeout=1.5)
    assert time.monotonic() - began < 2.4
    # p0 is on shards 0 and 1, p2 on 2 and 0; p1 on 1 and 2.
    assert response.coverage.partitions_answered == 2
    assert response.coverage.partitions_timed_out == 1


def test_an_address_that_swallows_calls_is_hedged(stage: Stage) -> None:
    """A half-open connection: nothing comes back, not even an error."""
    good = FakeShard([hit("a", 0.9)])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        write_placement(stage.placement, [stage.shard(good), address], partitions=1, replicas=2)
        good.hold("p0", 0, 2**64 - 1, "f" * 32)
        router = stage.start(startup_timeout_s=5)
        for _ in range(10):
            response = router.stub.Search(request(), timeout=5)
            assert ids(response) == ["a"]
            assert not response.coverage.degraded


def test_a_stale_placement_is_loaded_anew_and_asked_again(stage: Stage, wait_until: Wait) -> None:
    before, after = FakeShard([hit("a", 0.9)]), FakeShard([hit("a", 0.8)])
    addresses = [stage.shard(before), stage.shard(after)]
    write_placement(stage.placement, addresses[:1])
    # It looks at the file once an hour by itself.
    router = stage.start(placement_poll_s=3600)
    after.hold("p0", 0, 2**64 - 1, "f" * 32)
    write_placement(stage.placement, addresses[1:], epoch=2)
    before.oldest_epoch = after.oldest_epoch = 2
    response = router.stub.Search(request(), timeout=10)
    assert response.epoch == 2
    assert response.hits[0].score == pytest.approx(0.8)
    assert not response.coverage.degraded
    assert count(router, "stale_placements_total", call="read") == 1
    assert count(router, "placement_epoch") == 2


def test_halves_are_searched_in_place_of_a_partition_that_was_split(stage: Stage) -> None:
    shard = FakeShard([hit("a", 0.9)], patches=4)
    address = stage.shard(shard)
    write_placement(stage.placement, [address], partitions=1)
    router = stage.start(placement_poll_s=3600)
    for name, start, end in (("p0-0", 0, 2**63 - 1), ("p0-1", 2**63, 2**64 - 1)):
        shard.hold(name, start, end, "f" * 32)
    text = stage.placement.read_text()
    write_placement(stage.placement, [address], partitions=2, epoch=2)
    halves = stage.placement.read_text().replace('"p0"', '"p0-0"').replace('"p1"', '"p0-1"')
    assert halves != text
    stage.placement.write_text(halves)
    del shard.partitions["p0"]
    response = router.stub.Search(request(), timeout=10)
    assert response.epoch == 2
    assert (response.coverage.partitions_total, response.coverage.partitions_answered) == (2, 2)
    assert sorted(shard.searches[-1].partition_ids) == ["p0-0", "p0-1"]


def test_a_replica_that_was_lost_is_read_elsewhere(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, partitions=1, replicas=2, repair_interval_s=3600)
    for shard in shards:
        held = dict(shard.partitions)
        shard.partitions.clear()
        for _ in range(3):
            assert not router.stub.Search(request(), timeout=10).coverage.degraded
        shard.partitions.update(held)


def test_reads_by_id_come_from_any_replica_that_lives(stage: Stage) -> None:
    shards = pair()
    router = stage.router(shards, partitions=1, replicas=2, repair_interval_s=3600)
    for shard in shards:
        shard.versions["a"] = 5 << 16
    shards[0].error = Unavailable("NOT_READY", "stopping")
    for _ in range(4):
        got = router.stub.GetImage(GetImageRequest(image_id="a"), timeout=10)
        assert got.image.image_id == "a"
    shards[1].error = NotFound("PARTITION_NOT_FOUND", "lost")
    assert refused(router.stub.GetImage, GetImageRequest(image_id="a")).code == "UNAVAILABLE"


def test_every_replica_is_described(stage: Stage) -> None:
    shards = [FakeShard(patches=5), FakeShard(patches=7)]
    router = stage.router(shards, replicas=2)
    stage.servers[1].stop(0)
    told = router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10)
    assert told.patches == 10
    for partition in told.partitions:
        states = {r.shard: (r.available, r.patches) for r in partition.replicas}
        assert states == {"shard-0": (True, 5), "shard-1": (False, 0)}
        assert partition.available


def test_recall_is_that_of_all_replicas(stage: Stage) -> None:
    shards = [FakeShard(patches=5), FakeShard(patches=5)]
    router = stage.router(shards, partitions=1, replicas=2)
    for shard, found in zip(shards, (19, 20), strict=True):
        for held in shard.partitions.values():
            held.recall.add(profile="graph", checks=2, expected_hits=20, found_hits=found)
    shards[0].partitions["p0"].recall.add(profile="compact", checks=1, expected_hits=9)
    told = router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10)
    recall = [
        (r.profile, r.checks, r.expected_hits, r.found_hits) for r in told.partitions[0].recall
    ]
    assert recall == [("compact", 1, 9, 0), ("graph", 4, 40, 39)]


def test_a_newer_placement_that_does_not_come_does_not_hold_the_answer(stage: Stage) -> None:
    good, stale = FakeShard([hit("a", 0.9)]), FakeShard()
    router = stage.router([good, stale], merge_reserve_ms=100)
    warm(router, 3)
    stale.oldest_epoch = 9
    began = time.monotonic()
    response = router.stub.Search(request(), timeout=0.8)
    assert time.monotonic() - began < 1.5
    assert ids(response) == ["a"]
    assert response.coverage.partitions_answered == 1


def test_a_hit_is_told_once_whoever_answers_for_its_partition(stage: Stage) -> None:
    """The hedge for one partition of two and then the first call for both of them count."""
    image_ids = [f"i{n}" for n in range(20)]
    shards = [FakeShard([hit(i, 0.9 - n / 100) for n, i in enumerate(image_ids)]) for _ in range(3)]
    router = stage.router(shards, partitions=6, replicas=2, repair_interval_s=3600)
    placement = load_placement(stage.placement)

    for shard in shards:
        shard.only_own = placement
    warm(router)
    for shard in shards:
        shard.slow_s = 0.004
        for _ in range(15):
            response = router.stub.Search(request(k=20), timeout=10)
            assert sorted(ids(response)) == sorted(image_ids)
        shard.slow_s = 0.0
