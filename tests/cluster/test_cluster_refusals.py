"""What operations refuse, and that nothing has changed then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster.events import Event, Published
from cluster.plan import Plan
from cluster.planning import Planner
from patchsearch.errors import FailedPrecondition, InvalidArgument, NotFound
from placement.changes import with_shard
from tests.cluster.conftest import MakeCluster

Make = Callable[[Planner], Plan]


def test_too_few_shards_are_told(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=2, spare=0, partitions=2)
    for make in (lambda p: p.remove_shard("shard-0"), lambda p: p.set_replicas(3)):
        with pytest.raises(FailedPrecondition) as caught:
            cluster.run(make)
        assert caught.value.reason == "NOT_ENOUGH_SHARDS"


def test_what_cannot_be_is_refused_before_anything_happens(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(shards=3, partitions=3, replicas=1)
    epoch = cluster.placement.epoch
    cases: list[tuple[Make, type[Exception], str]] = [
        (lambda p: p.move("p9", "shard-0", "shard-1"), NotFound, "PARTITION_UNKNOWN"),
        (lambda p: p.move("p0", "shard-0", "shard-9"), NotFound, "SHARD_UNKNOWN"),
        (lambda p: p.move("p0", "shard-1", "shard-2"), InvalidArgument, "MOVE_INVALID"),
        (lambda p: p.move("p0", "shard-0", "shard-0"), InvalidArgument, "MOVE_INVALID"),
        (lambda p: p.add_shard("shard-0", "127.0.0.1:1"), FailedPrecondition, "SHARD_EXISTS"),
        (
            lambda p: p.add_shard("other", cluster.addresses["shard-0"]),
            FailedPrecondition,
            "SHARD_EXISTS",
        ),
        (lambda p: p.set_replicas(0), InvalidArgument, "REPLICAS_OUT_OF_RANGE"),
        (lambda p: p.split(["p9"]), NotFound, "PARTITION_UNKNOWN"),
    ]
    for make, kind, reason in cases:
        with pytest.raises(kind) as caught:
            cluster.run(make)
        assert caught.value.reason == reason  # type: ignore[attr-defined]
    assert cluster.placement.epoch == epoch


def test_the_only_replica_is_not_given_up(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster(replicas=1, spare=0)
    cluster.fakes["shard-0"].refuse_everything = True
    with pytest.raises(FailedPrecondition) as caught:
        cluster.run(lambda p: p.remove_shard("shard-0", lost=True))
    assert caught.value.reason == "LAST_REPLICA"


def test_another_operator_in_between_ends_the_operation(fake_cluster: MakeCluster) -> None:
    cluster = fake_cluster()
    on = cluster.shards_of("p0")
    free = next(shard for shard in cluster.placement.shards if shard not in on)
    plan = cluster.operator.plan(lambda p: p.move("p0", on[0], free))

    def somebody_else(event: Event) -> None:
        if isinstance(event, Published):
            now = cluster.placement
            cluster.store.replace(with_shard(now, "x", "127.0.0.1:9"), now.epoch)

    with pytest.raises(FailedPrecondition) as caught:
        cluster.operator.carry_out(plan, somebody_else)
    assert caught.value.reason == "PLACEMENT_CHANGED"
    with pytest.raises(FailedPrecondition) as caught:
        cluster.operator.carry_out(plan, lambda event: None)
    assert caught.value.reason == "PLACEMENT_CHANGED"
