"""Three real shards with two replicas of everything: what fails is not seen, what was missed is
made good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchsearch.geometry import Box
from patchsearch.shard.v1 import shard_service_pb2 as shard_pb
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import error_from_status
from placement.document import load_placement
from router.clock import HybridLogicalClock
from tests.contract.cluster import Cluster, refused, serving_router
from tests.contract.doors import CALL_TIMEOUT_S, RouterDoor, vector_request
from tests.contract.fake_encoder import photo, vector_of
from tests.contract.test_ingest import NEEDED, STORED, UNCHANGED, image, ingest, sha

BOX = Box(0, 0, 50, 50)
QUERY = vector_of(1000)
NAMES = [f"frame/{n}" for n in range(30)]
ONE = types_pb2.WRITE_CONSISTENCY_ONE
ALL = types_pb2.WRITE_CONSISTENCY_ALL

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def cluster(tmp_path: Path, encoder_address: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, 3, encoder_address, replicas=2)
    yield cluster
    cluster.close()


@pytest.fixture
def filled(cluster: Cluster) -> Cluster:
    cluster.door.put_all([(name, [(BOX, n)]) for n, name in enumerate(NAMES)])
    return cluster


def described(door: RouterDoor) -> pb.DescribeCollectionResponse:
    return door.stub.DescribeCollection(pb.DescribeCollectionRequest(), timeout=CALL_TIMEOUT_S)


def shards_failing(cluster: Cluster) -> float | None:
    registry = cluster.router.router.registry
    return registry.get_sample_value("patchsearch_router_shards_failing")


def behind(door: RouterDoor) -> list[str]:
    return [r.shard for p in described(door).partitions for r in p.replicas if r.behind]


def digests(cluster: Cluster) -> dict[str, list[bytes]]:
    """By partition, what its replicas hold."""
    told: dict[str, list[bytes]] = {}
    for index in range(3):
        answer = cluster.shard_stub(index).DescribePartitions(
            shard_pb.DescribePartitionsRequest(), timeout=CALL_TIMEOUT_S
        )
        for one in answer.partitions:
            told.setdefault(one.partition_id, []).append(one.digest)
    return told


def equal(cluster: Cluster) -> bool:
    told = digests(cluster)
    return all(len(own) == 2 and len(set(own)) == 1 for own in told.values()) and len(told) == 3


def test_partitions_are_counted_and_not_replicas(filled: Cluster) -> None:
    coverage = filled.door.stub.Search(vector_request(QUERY), timeout=CALL_TIMEOUT_S).coverage
    assert (coverage.partitions_total, coverage.partitions_answered) == (3, 3)
    assert coverage.patches_covered == coverage.patches_total == len(NAMES)
    told = described(filled.door)
    assert told.images == told.patches == len(NAMES)
    for partition in told.partitions:
        assert len(partition.replicas) == 2
        assert all(r.available and not r.behind and not r.joining for r in partition.replicas)
        assert {r.patches for r in partition.replicas} == {partition.patches}
    assert equal(filled)


def test_searches_do_not_see_a_shard_die_and_come_back(filled: Cluster, wait_until: Wait) -> None:
    everything = filled.door.search(QUERY, 1000)
    wrong: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            try:
                # Raises where the answer is degraded.
                if filled.door.search(QUERY, 1000) != everything:
                    wrong.append("other hits")
            except Exception as error:
                wrong.append(error)

    searching = threading.Thread(target=search)
    searching.start()
    try:
        for index in range(3):
            filled.stop_shard(index)
            assert filled.door.search(QUERY, 1000) == everything
            assert filled.door.ids() == sorted(NAMES, key=str.encode)
            assert all(filled.door.boxes(name) == [BOX] for name in NAMES[:6])
            told = described(filled.door)
            assert all(p.available for p in told.partitions)
            assert sum(not r.available for p in told.partitions for r in p.replicas) == 2
            filled.start_shard(index)
            # The next one may go once the router has seen this one.
            wait_until(lambda: shards_failing(filled) == 0)
    finally:
        done.set()
        searching.join()
    assert not wrong, wrong[:3]


def test_writes_need_the_replicas_that_are_asked_for(filled: Cluster) -> None:
    filled.stop_shard(1)
    by_partition = {filled.shard_of(f"new/{n}"): f"new/{n}" for n in range(40)}
    # Partition 2 is on shards 2 and 0: untouched. The others have one replica left.
    whole, halved = by_partition[2], by_partition[1]
    (stored,) = ingest(filled.door, image(whole))
    assert stored.outcome == STORED
    (failed,) = ingest(filled.door, image(halved, 7))
    error = error_from_status(failed.error)
    assert (error.code, error.reason) == ("UNAVAILABLE", "WRITE_NOT_ACKNOWLEDGED")
    assert "1 of 2 replicas" in error.message
    assert "shard-1" in error.message
    (stored,) = ingest(filled.door, image(halved, 888, consistency=ONE))
    assert stored.outcome == STORED
    assert filled.door.search(vector_of(888), 1)[0].image_id == halved
    request = pb.DeleteImagesRequest(image_ids=[halved])
    assert refused(filled.door.stub.DeleteImages, request).reason == "WRITE_NOT_ACKNOWLEDGED"
    request.consistency = ONE
    filled.door.stub.DeleteImages(request, timeout=CALL_TIMEOUT_S)
    (bad,) = ingest(filled.door, image("x", consistency=9))
    assert error_from_status(bad.error).reason == "CONSISTENCY_UNKNOWN"


def test_a_replica_that_was_away_gets_what_it_missed(filled: Cluster, wait_until: Wait) -> None:
    filled.stop_shard(1)
    results = ingest(
        filled.door,
        *(image(f"late/{n}", 100 + n, consistency=ONE) for n in range(20)),
        *(image(name, 500, consistency=ONE) for name in NAMES[:5]),
    )
    assert {r.outcome for r in results} == {STORED}
    gone = NAMES[10:16]
    request = pb.DeleteImagesRequest(image_ids=gone, consistency=ONE)
    assert (
        list(filled.door.stub.DeleteImages(request, timeout=CALL_TIMEOUT_S).deleted_image_ids)
        == gone
    )
    assert set(behind(filled.door)) == {"shard-1"}
    everything = filled.door.search(QUERY, 1000)
    filled.start_shard(1)
    # Whatever it answers meanwhile comes from replicas that have it all.
    ends = time.monotonic() + 20
    while not equal(filled) or behind(filled.door):
        assert filled.door.search(QUERY, 1000) == everything
        assert time.monotonic() < ends, "it did not catch up"
    for other in (0, 2):
        filled.stop_shard(other)
        assert filled.door.search(QUERY, 1000) == everything
        filled.start_shard(other)
        wait_until(lambda: shards_failing(filled) == 0)


def test_another_router_finds_out_by_itself_who_lacks_what(
    filled: Cluster, wait_until: Wait
) -> None:
    with serving_router(
        filled.placement_path, filled.encoder_address, repair_interval_s=3600
    ) as quiet:
        filled.stop_shard(2)
        stored = ingest(
            RouterDoor(quiet.stub), *(image(f"x{n}", n, consistency=ONE) for n in range(9))
        )
        assert {r.outcome for r in stored} == {STORED}
        filled.start_shard(2)
    wait_until(lambda: equal(filled) and not behind(filled.door))


def test_a_disk_that_was_replaced_is_filled_again(filled: Cluster, wait_until: Wait) -> None:
    everything = filled.door.search(QUERY, 1000)
    filled.lose_disk(0)
    filled.start_shard(0)
    wait_until(lambda: equal(filled) and not behind(filled.door))
    assert filled.door.search(QUERY, 1000) == everything
    filled.stop_shard(1)
    assert filled.door.search(QUERY, 1000) == everything


def test_unchanged_is_said_only_of_what_enough_replicas_have(filled: Cluster) -> None:
    content = photo([(BOX, 77)])
    filled.stop_shard(1)
    name = next(f"u{n}" for n in range(99) if filled.shard_of(f"u{n}") == 0)
    sent = image(name, content=content, digest=sha(content), consistency=ONE)
    asked = image(name, content=b"", digest=sha(content), consistency=ONE)
    assert [r.outcome for r in ingest(filled.door, sent)] == [STORED]
    assert [r.outcome for r in ingest(filled.door, asked)] == [UNCHANGED]
    filled.lose_disk(0)
    filled.start_shard(1)
    (told,) = ingest(filled.door, asked)
    assert told.outcome == NEEDED


def test_the_router_starts_without_a_shard_that_others_stand_in_for(filled: Cluster) -> None:
    filled.stop_shard(1)
    began = time.monotonic()
    with serving_router(
        filled.placement_path, filled.encoder_address, startup_timeout_s=60
    ) as running:
        assert time.monotonic() - began < 20
        assert not RouterDoor(running.stub).search(QUERY, 5) == []


class TestClocks:
    """Two routers whose clocks are a minute apart."""

    @pytest.fixture
    def doors(self, cluster: Cluster) -> Iterator[tuple[RouterDoor, RouterDoor]]:
        with ExitStack() as stack:

            def door(ahead_ms: int) -> RouterDoor:
                clock = HybridLogicalClock(lambda: time.time_ns() // 1_000_000 + ahead_ms)
                running = serving_router(
                    cluster.placement_path, cluster.encoder_address, clock=clock
                )
                return RouterDoor(stack.enter_context(running).stub)

            yield door(60_000), door(0)

    def test_a_deletion_through_the_router_behind_wins(
        self, doors: tuple[RouterDoor, RouterDoor], cluster: Cluster
    ) -> None:
        ahead, late = doors
        ahead.put("a", [(BOX, 1)])
        ahead.put("b", [(BOX, 2)])
        assert late.delete("a", "never") == ["a"]
        assert ahead.ids() == late.ids() == ["b"]
        assert [h.image_id for h in late.search(vector_of(1), 5)] == ["b"]
        assert equal(cluster)

    def test_an_image_through_the_router_behind_wins(
        self, doors: tuple[RouterDoor, RouterDoor]
    ) -> None:
        ahead, late = doors
        ahead.put("a", [(BOX, 1)])
        late.put("a", [(BOX, 2)])
        assert ahead.search(vector_of(2), 1)[0].score == pytest.approx(1, abs=1e-3)
        assert late.delete("a") == ["a"]
        late.put("a", [(BOX, 3)])
        assert ahead.search(vector_of(3), 1)[0].score == pytest.approx(1, abs=1e-3)

    def test_of_two_in_one_stream_the_later_stays_even_when_the_first_was_overtaken(
        self, doors: tuple[RouterDoor, RouterDoor]
    ) -> None:
        ahead, late = doors
        for _ in range(3):
            ahead.put("a", [(BOX, 1)])
            results = ingest(late, *(image("a", seed) for seed in range(10, 18)))
            assert {r.outcome for r in results} == {STORED}
            assert late.search(vector_of(17), 1)[0].score == pytest.approx(1, abs=1e-3)

    def test_a_write_that_meets_no_replica_of_an_earlier_one_wins_over_it(
        self, doors: tuple[RouterDoor, RouterDoor], cluster: Cluster, wait_until: Wait
    ) -> None:
        ahead, late = doors
        placement = load_placement(cluster.placement_path)
        one, other = (int(r.shard[-1]) for r in placement.partition_of("a").replicas)
        ahead.put("a", [(BOX, 1)])
        put = time.monotonic()
        # However long ago that was: the shards tell how far the other router's clock is ahead.
        wait_until(lambda: time.monotonic() > put + 1.5)
        late.put("a", [(BOX, 3)])
        cluster.stop_shard(other)
        deletion = pb.DeleteImagesRequest(image_ids=["a"], consistency=ONE)
        assert ahead.stub.DeleteImages(deletion, timeout=CALL_TIMEOUT_S).deleted_image_ids == ["a"]
        deleted = time.monotonic()
        cluster.stop_shard(one)
        cluster.start_shard(other)
        (stored,) = ingest(late, image("a", 2, consistency=ONE))
        assert stored.outcome == STORED
        assert time.monotonic() < deleted + 1.5
        cluster.start_shard(one)
        wait_until(lambda: equal(cluster))
        assert late.ids() == ahead.ids() == ["a"]
        assert late.search(vector_of(2), 1)[0].image_id == "a"
