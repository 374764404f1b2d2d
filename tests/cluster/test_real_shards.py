"""The operations on real shards, with writes and searches going on all the time."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.plan import Plan
from cluster.planning import Planner
from patchsearch.errors import FailedPrecondition
from tests.cluster.fake_cluster import Killed, killed_at
from tests.cluster.placed_client import units
from tests.cluster.real_cluster import RealCluster, real_cluster

Make = Callable[[Planner], Plan]

QUERIES = units(12, seed=77)


@contextmanager
def traffic(cluster: RealCluster) -> Iterator[Callable[[], None]]:
    """Writes and searches in threads; a failure of either fails the test. Gives a way to wait for
    a few more of both."""
    stop = threading.Event()
    failures: list[BaseException] = []
    rounds = threading.Semaphore(0)

    def guarded(work: Callable[[int], None]) -> None:
        try:
            for number in itertools.count():
                if stop.is_set():
                    return
                work(number)
                rounds.release()
        except BaseException as error:
            failures.append(error)
            stop.set()

    def write(number: int) -> None:
        cluster.client.put([f"live-{number}"])

    def search(number: int) -> None:
        assert len(cluster.client.search(QUERIES[number % len(QUERIES)])) == 10

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, search)]
    for thread in threads:
        thread.start()

    def wait() -> None:
        for _ in range(10):
            assert rounds.acquire(timeout=30) or failures

    try:
        yield wait
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    if failures:
        raise failures[0]


def answers(cluster: RealCluster) -> list[list[tuple[float, str, int]]]:
    return [cluster.client.search(query) for query in QUERIES]


def test_a_shard_is_added_and_answers_stay_what_they_were(tmp_path: Path) -> None:
    with real_cluster(tmp_path) as cluster:
        cluster.client.put([f"image-{i}" for i in range(120)])
        before = answers(cluster)
        outcome = cluster.run(
            lambda p: p.add_shard("shard-3", cluster.addresses["shard-3"]), besides=["shard-3"]
        )
        assert outcome.copied_bytes > 0 and not outcome.left_undone
        assert answers(cluster) == before
        assert any(
            replica.shard == "shard-3"
            for partition in cluster.placement.partitions
            for replica in partition.replicas
        )
        cluster.settled()


def test_traffic_goes_on_through_every_operation(tmp_path: Path) -> None:
    with real_cluster(tmp_path, partitions=3) as cluster:
        cluster.client.put([f"image-{i}" for i in range(60)])
        operations: list[tuple[Make, list[str]]] = [
            (lambda p: p.add_shard("shard-3", cluster.addresses["shard-3"]), ["shard-3"]),
            (lambda p: p.split(["p0"]), []),
            (lambda p: p.set_replicas(3, ["p1"]), []),
            (lambda p: p.rebalance(), []),
            (lambda p: p.remove_shard("shard-0"), []),
        ]
        with traffic(cluster) as wait:
            for make, besides in operations:
                wait()
                cluster.run(make, besides=besides)
            wait()
        cluster.settled()
        assert len(cluster.placement.partitions) == 4
        assert "shard-0" not in cluster.placement.shards


def test_killed_and_run_again_with_traffic(tmp_path: Path) -> None:
    with real_cluster(tmp_path, shards=3, spare=0, partitions=2) as cluster:
        cluster.client.put([f"image-{i}" for i in range(30)])
        with traffic(cluster) as wait:
            for kill_after in range(1, 14, 3):
                for name in ("p0", "p1"):
                    partition = cluster.placement.partition(name)
                    assert partition is not None
                    on = [replica.shard for replica in partition.replicas]
                    (free,) = set(cluster.placement.shards) - set(on)

                    def make(
                        planner: Planner, name: str = name, old: str = on[0], new: str = free
                    ) -> Plan:
                        return planner.move(name, old, new)

                    try:
                        cluster.run(make, killed_at(kill_after, lambda event: None))
                    except Killed:
                        wait()
                        cluster.run(make)
                    now = cluster.placement.partition(name)
                    assert now is not None and {r.shard for r in now.replicas} == {free, on[1]}
        cluster.settled()


def test_a_split_that_is_killed_survives_restarts_of_its_shards(tmp_path: Path) -> None:
    with real_cluster(tmp_path, shards=2, spare=0, partitions=1) as cluster:
        cluster.client.put([f"image-{i}" for i in range(40)])
        before = answers(cluster)
        make: Make = lambda p: p.split(["p0"]) if p.survey.placement.partition("p0") else p.repair()  # noqa: E731
        for kill_after in range(2, 8):
            with pytest.raises(Killed):
                cluster.run(make, killed_at(kill_after, lambda event: None))
            if cluster.placement.partition("p0") is None:
                break
            cluster.stop("shard-0")
            cluster.start("shard-0")
            cluster.client.put([f"later-{kill_after}"])
        cluster.run(make)
        assert [p.id for p in cluster.placement.partitions] == ["p0-0", "p0-1"]
        cluster.settled()
        mine = [[hit for hit in hits if hit[1].startswith("image-")] for hits in answers(cluster)]
        assert [m[:5] for m in mine] == [b[:5] for b in before]


def test_a_replaced_disk_is_filled_again(tmp_path: Path) -> None:
    with real_cluster(tmp_path, shards=2, spare=0, partitions=2) as cluster:
        cluster.client.put([f"image-{i}" for i in range(40)])
        cluster.stop("shard-1")
        shutil.rmtree(cluster.data("shard-1"))
        cluster.start("shard-1")
        plan = cluster.operator.plan(lambda p: p.repair())
        assert {r.partition_id: r.missing for r in plan.repairs} == {
            "p0": ("shard-1",),
            "p1": ("shard-1",),
        }
        outcome = cluster.run(lambda p: p.repair())
        assert outcome.copied_bytes > 0
        cluster.settled()
        assert cluster.operator.plan(lambda p: p.repair()).empty


def test_no_empty_partition_is_made_where_all_are_gone(tmp_path: Path) -> None:
    with real_cluster(tmp_path, shards=1, spare=0, partitions=1, replicas=1) as cluster:
        cluster.client.put(["image-0"])
        cluster.stop("shard-0")
        shutil.rmtree(cluster.data("shard-0"))
        cluster.start("shard-0")
        outcome = cluster.run(lambda p: p.repair())
        assert outcome.left_undone
        with pytest.raises(FailedPrecondition) as caught:
            cluster.run(lambda p: p.split(["p0"]))
        assert caught.value.reason == "LAST_REPLICA"
