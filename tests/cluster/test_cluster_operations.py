"""Every operation, killed at every event, with routers of older placements writing and reading."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest

from cluster.events import Event, Published
from cluster.plan import Plan
from cluster.planning import Planner
from patchsearch.errors import (
    FailedPrecondition,
    PatchsearchError,
    ResourceExhausted,
    Unavailable,
)
from placement.document import Placement
from tests.cluster.conftest import MakeCluster
from tests.cluster.fake_cluster import FakeCluster, Killed, completes, killed_at
from tests.cluster.fake_shards import BYTES_PER_IMAGE

Make = Callable[[Planner], Plan]


class Traffic:
    """At each event a router writes an image, one searches with the placement in force, and one
    with an older one: both find all that was acknowledged."""

    def __init__(self, cluster: FakeCluster, seed: int, lossy: bool) -> None:
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._lossy = lossy
        self._seen: list[Placement] = [cluster.placement]
        self._count = itertools.count()

    def __call__(self, event: Event | None = None) -> None:
        if isinstance(event, Published):
            self._seen.append(self._cluster.placement)
        stale = self._chance.choice(self._seen[-3:])
        image_id = f"image-{next(self._count)}"
        self._cluster.write(
            image_id, stale, lambda shard: self._lossy and self._chance.random() < 0.5
        )
        if not self._lossy:
            for placement in (self._chance.choice(self._seen[-3:]), self._cluster.placement):
                found = self._cluster.search(placement, self._chance)
                missing = self._cluster.acknowledged - found
                assert not missing, f"{missing} not found at {event}"


def add_shard(cluster: FakeCluster) -> tuple[Make, Sequence[str]]:
    return lambda p: p.add_shard("shard-3", cluster.addresses["shard-3"]), ["shard-3"]


def remove_shard(cluster: FakeCluster) -> tuple[Make, Sequence[str]]:
    return lambda p: p.remove_shard("shard-1"), []


def move(cluster: FakeCluster) -> tuple[Make, Sequence[str]]:
    on = cluster.shards_of("p0")
    free = next(s for s in cluster.placement.shards if s not in on)
    return lambda p: p.move("p0", on[0], free), []


def more_replicas(cluster: FakeCluster) -> tuple[Make, Sequence[str]]:
    return lambda p: p.set_replicas(3), []


def fewer_replicas(cluster: FakeCluster) -> tuple[Make, Sequence[str]]:
    return lambda p: p.set_replicas(1), []


def split(cluster: FakeCluster) -> tuple[Make, Sequence[str]]:
    def halve(planner: Planner) -> Plan:
        there = [p for p in ("p0", "p1") if planner.survey.placement.partition(p)]
        return planner.split(there) if there else planner.repair()

    return halve, []


@pytest.mark.parametrize("lossy", [False, True], ids=["all writes arrive", "joining miss writes"])
@pytest.mark.parametrize(
    "operation", [add_shard, remove_shard, move, more_replicas, fewer_replicas, split]
)
def test_killed_anywhere_and_run_again_nothing_is_lost(
    fake_cluster: MakeCluster,
    operation: Callable[[FakeCluster], tuple[Make, Sequence[str]]],
    lossy: bool,
) -> None:
    kill_after, killed = 0, True
    while killed:
        cluster = fake_cluster(partitions=4 if operation is add_shard else 2)
        traffic = Traffic(cluster, kill_after, lossy)
        for _ in range(20):
            traffic()
        make, besides = operation(cluster)
        killed = completes(cluster, make, traffic, kill_after, besides)
        if lossy:
            cluster.run(lambda p: p.repair())
        cluster.settled()
        if operation is not add_shard:  # whose plan follows sizes, and those change with traffic
            assert cluster.operator.plan(make).empty
        # At every event of the first partition, then at some: each run takes its time.
        kill_after += 1 if kill_after < 10 and operation is move else 4
    assert kill_after > 6


@pytest.mark.parametrize("operation", [move, split, more_replicas])
def test_whatever_call_fails_the_same_command_finishes(
    fake_cluster: MakeCluster,
    operation: Callable[[FakeCluster], tuple[Make, Sequence[str]]],
) -> None:
    failing, reached = 0, True
    while reached:
        cluster = fake_cluster(shards=3, spare=0, partitions=1)
        for i in range(8):
            cluster.write(f"image-{i}")
        make, _ = operation(cluster)
        calls = itertools.count()
        reached = False

        def fail(method: str, calls: Iterator[int] = calls, failing: int = failing) -> None:
            nonlocal reached
            if next(calls) == failing:
                reached = True
                raise ResourceExhausted("DISK_FULL", f"{method} fails")

        for fake in cluster.fakes.values():
            fake.when_called = fail
        traffic = Traffic(cluster, failing, lossy=True)
        with suppress(PatchsearchError):
            cluster.run(make, traffic)
        for fake in cluster.fakes.values():
            fake.when_called = lambda method: None
        cluster.run(make, traffic)
        cluster.run(lambda p: p.repair())
        cluster.settled()
        assert cluster.operator.plan(make).empty
        failing += 2
    assert failing > 10


def test_a_finished_operation_again_does_nothing(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(partitions=9)
    for i in range(90):
        cluster.write(f"image-{i}")
    for operation in (add_shard, more_replicas, fewer_replicas, split):
        make, besides = operation(cluster)
        cluster.run(make, besides=besides)
        epoch = cluster.placement.epoch
        cluster.run(make, besides=besides)
        assert cluster.placement.epoch == epoch, operation
        cluster.settled()


def test_a_new_shard_gets_its_share_and_nothing_else_moves(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=3, spare=1, partitions=24, replicas=1)
    for i in range(480):
        cluster.write(f"image-{i}")
    before = {p.id: p.replicas for p in cluster.placement.partitions}
    make, besides = add_shard(cluster)
    plan = cluster.operator.plan(make, {"shard-3": cluster.addresses["shard-3"]})
    least = 480 * BYTES_PER_IMAGE / 4
    assert least * 0.9 <= plan.copied_bytes <= least * 1.1
    outcome = cluster.run(make, besides=besides)
    assert outcome.copied_bytes == plan.copied_bytes
    moved = {p.id for p in cluster.placement.partitions if p.replicas != before[p.id]}
    assert moved == {change.partition_id for change in plan.members}
    assert all(cluster.shards_of(p) == ["shard-3"] for p in moved)
    cluster.settled()


def test_a_removed_shard_is_empty_and_unknown(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=4, spare=0)
    for i in range(60):
        cluster.write(f"image-{i}")
    cluster.run(lambda p: p.remove_shard("shard-0"))
    assert "shard-0" not in cluster.placement.shards
    assert not cluster.fakes["shard-0"].partitions
    cluster.settled()


def test_a_lost_shard_is_made_up_for_from_the_others(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=4, spare=0)
    for i in range(60):
        cluster.write(f"image-{i}")
    cluster.fakes["shard-0"].refuse_everything = True
    with pytest.raises(Unavailable) as caught:
        cluster.run(lambda p: p.remove_shard("shard-0"))
    assert caught.value.reason == "SHARD_UNREACHABLE"
    outcome = cluster.run(lambda p: p.remove_shard("shard-0", lost=True))
    assert "shard-0" not in cluster.placement.shards
    assert outcome.left_undone
    cluster.settled()


def test_a_replaced_disk_is_filled_and_replicas_made_equal(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(partitions=3)
    for i in range(60):
        cluster.write(f"image-{i}")
    on = cluster.shards_of("p0")
    del cluster.fakes[on[0]].partitions["p0"]
    there = cluster.fakes[cluster.shards_of("p1")[1]].partitions["p1"]
    for image_id in list(there.records)[:5]:
        del there.records[image_id]
    plan = cluster.operator.plan(lambda p: p.repair())
    assert [(r.partition_id, r.missing) for r in plan.repairs] == [("p0", (on[0],)), ("p1", ())]
    assert plan.copied_bytes > 0
    cluster.run(lambda p: p.repair())
    cluster.settled()
    assert cluster.operator.plan(lambda p: p.repair()).empty


def test_what_was_being_filled_is_taken_back_where_that_is_asked_for(
    fake_cluster: MakeCluster,
) -> None:
    cluster = fake_cluster(partitions=3)
    for i in range(30):
        cluster.write(f"image-{i}")
    before = cluster.placement
    events = 0
    while cluster.placement.epoch == before.epoch:
        with pytest.raises(Killed):
            cluster.run(move(cluster)[0], killed_at(events, lambda event: None))
        events += 1
    with pytest.raises(FailedPrecondition) as caught:
        cluster.run(lambda p: p.split(["p0"]))
    assert caught.value.reason == "PARTITION_BUSY"
    cluster.run(lambda p: p.repair(abandon=True))
    assert cluster.placement.partitions == before.partitions
    cluster.settled()


def test_a_move_goes_on_without_a_replica_that_is_down(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=4, spare=0, partitions=1, replicas=3)
    for i in range(20):
        cluster.write(f"image-{i}")
    on = cluster.shards_of("p0")
    (free,) = set(cluster.placement.shards) - set(on)
    cluster.fakes[on[2]].refuse_everything = True
    outcome = cluster.run(lambda p: p.move("p0", on[0], free))
    assert outcome.left_undone
    assert cluster.shards_of("p0") == [free, on[1], on[2]]
    cluster.fakes[on[2]].refuse_everything = False
    cluster.settled()


def test_many_partitions_on_many_shards_level_out(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=7, spare=1, partitions=64)
    for i in range(640):
        cluster.write(f"image-{i}")
    make = lambda p: p.add_shard("shard-7", cluster.addresses["shard-7"])  # noqa: E731
    plan = cluster.operator.plan(make, {"shard-7": cluster.addresses["shard-7"]})
    after = [total.patches_after for total in plan.totals]
    assert max(after) - min(after) < 0.5 * sum(after) / len(after)
    assert 12 <= len(plan.members) <= 20


def test_a_shard_that_is_away_loses_its_replica_first(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=3, spare=0, partitions=3)
    for i in range(30):
        cluster.write(f"image-{i}")
    cluster.fakes["shard-1"].refuse_everything = True
    outcome = cluster.run(lambda p: p.set_replicas(1))
    assert outcome.left_undone
    assert "shard-1" not in {s for i in range(3) for s in cluster.shards_of(f"p{i}")}
    cluster.fakes["shard-1"].refuse_everything = False
    cluster.run(lambda p: p.repair(abandon=True))
    cluster.settled()
