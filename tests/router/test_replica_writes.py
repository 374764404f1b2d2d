"""Writes to replicas that refuse, hang, are full, know a newer version, or have moved on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from patchsearch.errors import PatchsearchError, ResourceExhausted, Unavailable
from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import error_from_status
from tests.contract.cluster import RunningRouter, refused, write_placement
from tests.contract.fake_encoder import photo
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard
from tests.router.test_replica_reads import count

ONE = types_pb2.WRITE_CONSISTENCY_ONE
QUORUM = types_pb2.WRITE_CONSISTENCY_QUORUM
ALL = types_pb2.WRITE_CONSISTENCY_ALL

Wait = Callable[[Callable[[], bool]], None]


def put(
    router: RunningRouter, image_id: str = "a", consistency: int = 0, timeout: float = 10
) -> PatchsearchError | None:
    """Stores an image; why it was not acknowledged, where it was not."""
    request = pb.IngestImagesRequest(
        image_id=image_id,
        content=photo([(Box(0, 0, 50, 50), 1)]),
        consistency=consistency,  # type: ignore[arg-type]
    )
    (result,) = router.stub.IngestImages(iter([request]), timeout=timeout)
    if result.outcome == pb.INGEST_OUTCOME_STORED:
        return None
    return error_from_status(result.error)


def three(stage: Stage, **settings: object) -> tuple[list[FakeShard], RunningRouter]:
    shards = [FakeShard() for _ in range(3)]
    settings = {"partitions": 1, "replicas": 3, "repair_interval_s": 3600, **settings}
    return shards, stage.router(shards, **settings)


def behind(router: RunningRouter) -> list[str]:
    told = router.stub.DescribeCollection(pb.DescribeCollectionRequest(), timeout=10)
    return [r.shard for p in told.partitions for r in p.replicas if r.behind]


def test_a_write_goes_to_all_replicas_with_one_version(stage: Stage, wait_until: Wait) -> None:
    shards, router = three(stage)
    assert put(router) is None
    wait_until(lambda: all(shard.puts for shard in shards))
    assert len({shard.puts[0].images[0].version for shard in shards}) == 1
    assert {shard.puts[0].epoch for shard in shards} == {1}
    assert behind(router) == []
    assert count(router, "writes_total", consistency="quorum", outcome="acknowledged") == 1


@pytest.mark.parametrize(
    ("broken", "consistency", "acknowledged"),
    [
        (1, QUORUM, True),
        (2, QUORUM, False),
        (2, ONE, True),
        (1, ALL, False),
        (0, ALL, True),
        (3, ONE, False),
    ],
)
def test_it_is_acknowledged_when_enough_have_it(
    stage: Stage, broken: int, consistency: int, acknowledged: bool, wait_until: Wait
) -> None:
    shards, router = three(stage)
    for shard in shards[:broken]:
        shard.write_error = Unavailable("STORE_READ_ONLY", "its disk is bad")
    error = put(router, consistency=consistency)
    if acknowledged:
        assert error is None
        wait_until(lambda: behind(router) == [f"shard-{n}" for n in range(broken)])
    else:
        assert error is not None
        assert (error.code, error.reason) == ("UNAVAILABLE", "WRITE_NOT_ACKNOWLEDGED")
        assert "its disk is bad" in error.message


def test_a_setting_says_how_many_where_the_request_does_not(stage: Stage) -> None:
    shards, router = three(stage, write_consistency="all")
    shards[0].write_error = Unavailable("STORE_READ_ONLY", "its disk is bad")
    assert put(router) is not None
    assert put(router, consistency=QUORUM) is None


def test_what_all_replicas_say_is_said_as_it_is(stage: Stage) -> None:
    shards, router = three(stage)
    for shard in shards:
        shard.write_error = ResourceExhausted("DISK_FULL", "no space left")
    error = put(router)
    assert error is not None
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
    shards[0].write_error = None
    error = put(router)
    assert error is not None
    assert error.reason == "WRITE_NOT_ACKNOWLEDGED"
    assert error.metadata["reasons"] == "DISK_FULL"
    request = pb.DeleteImagesRequest(image_ids=["a"])
    assert refused(router.stub.DeleteImages, request).reason == "WRITE_NOT_ACKNOWLEDGED"


def test_replicas_that_are_too_busy_are_waited_for(stage: Stage) -> None:
    shards, router = three(stage)
    for shard in shards:
        shard.write_error = ResourceExhausted("OVERLOADED", "full", retry_after_s=0.01)

    def recover() -> None:
        while not shards[0].puts:
            time.sleep(0.01)
        for shard in shards:
            shard.write_error = None

    thread = threading.Thread(target=recover)
    thread.start()
    assert put(router) is None
    thread.join()


def test_a_replica_that_hangs_holds_nobody_up_and_may_still_take_it(
    stage: Stage, wait_until: Wait
) -> None:
    shards, router = three(stage)
    shards[2].writes_go_on.clear()
    began = time.monotonic()
    assert put(router) is None
    assert time.monotonic() - began < 5
    assert "a" not in shards[2].versions
    shards[2].writes_go_on.set()
    wait_until(lambda: "a" in shards[2].versions)
    assert behind(router) == []


def test_replicas_that_hang_do_not_hold_a_write_beyond_its_time(stage: Stage) -> None:
    shards, router = three(stage)
    for shard in shards[1:]:
        shard.writes_go_on.clear()
    began = time.monotonic()
    request = pb.DeleteImagesRequest(image_ids=["a"])
    error = refused(router.stub.DeleteImages, request, timeout=0.5)
    assert error.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 2


def test_one_that_joins_gets_writes_and_has_no_vote(stage: Stage, wait_until: Wait) -> None:
    held, joining = FakeShard(), FakeShard()
    addresses = [stage.shard(held), stage.shard(joining)]
    write_placement(stage.placement, addresses, partitions=1)
    text = stage.placement.read_text()
    stage.placement.write_text(
        text.replace('"replicas": ["shard-0"]', '"replicas": ["shard-0"], "joining": ["shard-1"]')
    )
    router = stage.start(repair_interval_s=3600)
    assert put(router, "a", ALL) is None
    wait_until(lambda: "a" in joining.versions)
    joining.write_error = Unavailable("NOT_READY", "not yet")
    assert put(router, "b", ALL) is None
    held.write_error = Unavailable("STORE_READ_ONLY", "its disk is bad")
    joining.write_error = None
    error = put(router, "c", ONE)
    assert error is not None
    assert "0 of 1 replicas" in error.message
    told = router.stub.DescribeCollection(pb.DescribeCollectionRequest(), timeout=10)
    assert [(r.shard, r.joining) for r in told.partitions[0].replicas] == [
        ("shard-0", False),
        ("shard-1", True),
    ]


def test_a_newer_version_of_another_router_is_overtaken(stage: Stage, wait_until: Wait) -> None:
    shards, router = three(stage)
    ahead = (int(time.time() * 1000) + 60_000) << 16
    for shard in shards[:2]:
        shard.versions["a"] = ahead
    assert put(router, consistency=ALL) is None
    assert all(shard.versions["a"] > ahead for shard in shards)
    request = pb.DeleteImagesRequest(image_ids=["a"])
    assert list(router.stub.DeleteImages(request, timeout=10).deleted_image_ids) == ["a"]


def test_it_is_overtaken_also_when_it_is_told_after_the_acknowledgement(
    stage: Stage, wait_until: Wait
) -> None:
    shards, router = three(stage)
    ahead = (int(time.time() * 1000) + 60_000) << 16
    for shard in shards[1:]:
        shard.versions["a"] = ahead
        shard.writes_go_on.clear()
    assert put(router, consistency=ONE) is None
    assert shards[0].versions["a"] < ahead
    for shard in shards[1:]:
        shard.writes_go_on.set()
    wait_until(lambda: all(shard.versions["a"] > ahead for shard in shards))


def test_what_is_stored_for_the_far_future_refuses_writes_at_once(stage: Stage) -> None:
    shards, router = three(stage, max_clock_ahead_s=100)
    for shard in shards:
        shard.versions["a"] = (int(time.time() * 1000) + 3600_000) << 16
    error = put(router, consistency=ALL)
    assert error is not None
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "VERSION_TOO_FAR_AHEAD")
    assert [len(shard.puts) for shard in shards] == [1, 1, 1]
    # Its own clock is as before, and other images are written.
    assert put(router, "b", ALL) is None
    assert shards[0].versions["b"] >> 16 < time.time() * 1000 + 1000


def test_a_stale_write_is_sent_again_by_the_next_placement(stage: Stage) -> None:
    before, after = FakeShard(), FakeShard()
    addresses = [stage.shard(before), stage.shard(after)]
    write_placement(stage.placement, addresses[:1])
    router = stage.start(placement_poll_s=3600)
    after.hold("p0", 0, 2**64 - 1, "f" * 32)
    write_placement(stage.placement, addresses[1:], epoch=2)
    before.oldest_epoch = 2
    assert put(router) is None
    assert [request.epoch for request in after.puts] == [2]
    assert before.puts[0].images[0].version == after.puts[0].images[0].version
    assert count(router, "stale_placements_total", call="write") == 1


def test_a_write_whose_placement_stays_stale_is_not_acknowledged(stage: Stage) -> None:
    shard = FakeShard()
    router = stage.router([shard])
    shard.oldest_epoch = 9
    request = pb.DeleteImagesRequest(image_ids=["a"])
    error = refused(router.stub.DeleteImages, request, timeout=10)
    assert (error.code, error.reason) == ("UNAVAILABLE", "WRITE_NOT_ACKNOWLEDGED")
