"""Partitions are asked for their likely share of the hits, and for all where it was too few."""

from __future__ import annotations

from patchsearch.v1.search_service_pb2 import BatchSearchRequest
from tests.contract.cluster import RunningRouter
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard
from tests.router.test_fan_out import hit, ids, request


def sharing(names: str, scores: list[float], share: int = 2) -> FakeShard:
    shard = FakeShard([hit(name, score) for name, score in zip(names, scores, strict=True)])
    shard.share = share
    return shard


def running(stage: Stage, shards: list[FakeShard], partitions: int) -> RunningRouter:
    """A router that has heard how many patches there are."""
    router = stage.router(shards, partitions=partitions)
    assert ids(router.stub.Search(request(k=1), timeout=10))
    for shard in shards:
        shard.searches.clear()
    return router


def test_shares_that_suffice_are_all_that_is_asked_for(stage: Stage) -> None:
    shards = [sharing("ac", [0.9, 0.7]), sharing("bde", [0.8, 0.6, 0.5])]
    router = running(stage, shards, 4)
    assert ids(router.stub.Search(request(k=4), timeout=10)) == list("abcd")
    assert [[one.collection_patches for one in shard.searches] for shard in shards] == [[40], [40]]


def test_a_shard_with_more_than_its_share_is_asked_for_all(stage: Stage) -> None:
    shards = [sharing("abcd", [0.9, 0.8, 0.7, 0.6]), sharing("ef", [0.5, 0.4])]
    router = running(stage, shards, 2)
    answer = router.stub.Search(request(k=4), timeout=10)
    assert ids(answer) == list("abcd")
    assert [one.collection_patches for one in shards[0].searches] == [20, 0]
    assert answer.timings.fan_out_ms <= answer.timings.total_ms
    # Too few hits of all shards: one of them has more.
    assert ids(router.stub.Search(request(k=6), timeout=10)) == list("abcdef")


def test_ties_with_the_last_hit_of_a_share_are_settled(stage: Stage) -> None:
    shards = [sharing("abc", [0.9, 0.5, 0.5]), sharing("dd", [0.5, 0.5])]
    router = running(stage, shards, 2)
    assert ids(router.stub.Search(request(k=2), timeout=10)) == ["a", "b"]
    assert len(shards[0].searches) == 1
    assert ids(router.stub.Search(request(k=3), timeout=10)) == ["a", "b", "c"]


def test_of_a_batch_only_the_search_that_lacks_hits_is_asked_again(stage: Stage) -> None:
    shards = [sharing("abcd", [0.9, 0.8, 0.7, 0.6]), sharing("ef", [0.5, 0.4])]
    router = running(stage, shards, 2)
    batch = BatchSearchRequest(requests=[request(k=2), request(k=3), request(k=1)])
    results = router.stub.BatchSearch(batch, timeout=10).results
    assert [ids(one.response) for one in results] == [list("ab"), list("abc"), list("a")]
    joint, again = shards[0].searches
    assert [joint.k, *(one.k for one in joint.further_queries)] == [2, 3, 1]
    assert (again.k, again.collection_patches, len(again.further_queries)) == (3, 0, 0)


def test_overlapping_patches_are_asked_for_in_full(stage: Stage) -> None:
    shards = [sharing("abcd", [0.9, 0.8, 0.7, 0.6]), sharing("ef", [0.5, 0.4])]
    router = running(stage, shards, 2)
    assert ids(router.stub.Search(request(k=4, keep_overlapping=True), timeout=10)) == list("abcd")
    assert [one.collection_patches for one in shards[0].searches] == [0]
