"""What follows from looks at replicas; how shards repair each other is in tests/contract."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from patchsearch.v1.search_service_pb2 import DescribeCollectionRequest
from router.replica_keeper import differing
from tests.contract.cluster import RunningRouter, write_placement
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard
from tests.router.test_replica_reads import count

Wait = Callable[[Callable[[], bool]], None]

digests = st.dictionaries(st.integers(0, 5), st.sampled_from([b"a", b"b"]), max_size=6)


@given(st.lists(digests, min_size=1, max_size=3))
def test_parts_differ_where_not_all_replicas_agree(replicas: list[dict[int, bytes]]) -> None:
    found = differing(replicas)
    for start in range(6):
        assert (start in found) == (len({replica.get(start) for replica in replicas}) > 1)


def behind(router: RunningRouter) -> list[str]:
    told = router.stub.DescribeCollection(DescribeCollectionRequest(), timeout=10)
    return [r.shard for p in told.partitions for r in p.replicas if r.behind]


def test_one_that_was_away_and_differs_is_not_trusted(stage: Stage, wait_until: Wait) -> None:
    first, second = FakeShard(), FakeShard()
    router = stage.router([first, second], partitions=1, replicas=2, repair_interval_s=0.05)
    wait_until(lambda: count(router, "shards_failing") == 0)
    second.runs.clear()
    wait_until(lambda: count(router, "shards_failing") == 1)
    first.partitions["p0"].digest = b"after a write"
    second.runs.set()
    wait_until(lambda: behind(router) == ["shard-1"])
    assert count(router, "replicas_behind") == 1
    second.partitions["p0"].digest = b"after a write"
    wait_until(lambda: behind(router) == [])


def test_an_empty_partition_never_takes_the_place_of_one_that_was_there(
    stage: Stage, wait_until: Wait
) -> None:
    first, second = FakeShard(), FakeShard()
    router = stage.router([first, second], partitions=1, replicas=2, repair_interval_s=0.05)
    looks = second.looks
    wait_until(lambda: second.looks > looks + 2)
    first.partitions.clear()
    second.partitions.clear()
    looks = second.looks
    wait_until(lambda: second.looks > looks + 6)
    assert first.partitions == second.partitions == {}
    assert count(router, "placement_epoch") == 1


def test_shards_that_come_late_get_their_partitions_created(stage: Stage, wait_until: Wait) -> None:
    first, late = FakeShard(), FakeShard()
    addresses = [stage.shard(first), stage.shard(late)]
    write_placement(stage.placement, addresses, partitions=2, replicas=2)
    late.runs.clear()
    stage.start(startup_timeout_s=0.3, repair_interval_s=0.05)
    # The other shard might have them.
    assert first.partitions == {}
    late.runs.set()
    wait_until(lambda: len(first.partitions) == len(late.partitions) == 2)
