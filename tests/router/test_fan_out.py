"""What the router makes of shards that answer, fail, hang or are gone."""

from __future__ import annotations

import threading
import time

import grpc
import pytest

from patchsearch import Exists, Field
from patchsearch.errors import FailedPrecondition, InternalError, Unavailable
from patchsearch.v1.search_service_pb2 import BatchSearchRequest, Hit, SearchRequest, SearchResponse
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.status import error_from_status
from patchsearch.wire.vectors import vector_to_proto
from tests.contract.cluster import refused
from tests.contract.fake_encoder import FINGERPRINT, vector_of
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard


def hit(image_id: str, score: float) -> Hit:
    return Hit(image_id=image_id, score=score, box={"x": 0, "y": 0, "w": 9, "h": 9})


def request(**fields: object) -> SearchRequest:
    search = SearchRequest(**fields)  # type: ignore[arg-type]
    search.terms.add(vector=vector_to_proto(vector_of(1), FINGERPRINT))
    return search


def ids(response: SearchResponse) -> list[str]:
    return [h.image_id for h in response.hits]


def test_every_shard_is_asked_once_for_its_own_partitions_and_the_hits_are_merged(
    stage: Stage,
) -> None:
    shards = [
        FakeShard([hit("a", 0.9), hit("c", 0.5)], patches=5),
        FakeShard([hit("b", 0.7), hit("d", 0.25)], patches=7),
    ]
    router = stage.router(shards, partitions=4)
    response = router.stub.Search(request(k=3), timeout=10)
    assert ids(response) == ["a", "b", "c"]
    assert [list(s.searches[0].partition_ids) for s in shards] == [["p0", "p2"], ["p1", "p3"]]
    assert [len(s.searches) for s in shards] == [1, 1]
    coverage = response.coverage
    assert (coverage.partitions_total, coverage.partitions_answered) == (4, 4)
    assert (coverage.patches_covered, coverage.patches_total) == (24, 24)
    assert not coverage.degraded
    assert (response.epoch, response.fingerprint) == (1, FINGERPRINT)
    timings = response.timings
    assert 0 < timings.fan_out_ms <= timings.total_ms
    assert not response.warnings


def test_the_numbers_of_a_search_reach_the_shards(stage: Stage) -> None:
    shard = FakeShard()
    router = stage.router([shard], default_k=5)
    router.stub.Search(request(), timeout=10)
    router.stub.Search(
        request(k=9, score_threshold=0.25, exact=True, oversample=2.5, keep_overlapping=True),
        timeout=10,
    )
    plain, full = shard.searches
    assert plain.k == 5
    assert not plain.HasField("score_threshold")
    assert not plain.HasField("oversample")
    assert (full.k, full.score_threshold, full.oversample) == (9, 0.25, 2.5)
    assert full.exact
    assert full.keep_overlapping


def test_filter_and_search_effort_reach_the_shards(stage: Stage) -> None:
    shard = FakeShard()
    router = stage.router([shard])
    filter = (Field("weather").is_in("snow", "rain") | (Field("speed") > 10)) & ~Exists("indoors")
    sent = request(filter=filter_to_proto(filter), ef=4096, nprobe=65536)
    router.stub.Search(request(), timeout=10)
    router.stub.Search(sent, timeout=10)
    router.stub.BatchSearch(BatchSearchRequest(requests=[sent]), timeout=10)
    plain, *full = shard.searches
    for name in ("filter", "ef", "nprobe"):
        assert not plain.HasField(name)
    for search in full:
        assert search.filter == sent.filter
        assert (search.ef, search.nprobe) == (4096, 65536)


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ({"ef": 0}, "EF_OUT_OF_RANGE", "1 to 4096"),
        ({"ef": 4097}, "EF_OUT_OF_RANGE", "1 to 4096"),
        ({"nprobe": 0}, "NPROBE_OUT_OF_RANGE", "1 to 65536"),
        ({"nprobe": 65537}, "NPROBE_OUT_OF_RANGE", "1 to 65536"),
        ({"filter": {}}, "FILTER_INVALID", "no condition"),
        ({"filter": {"exists": "a..b"}}, "FILTER_INVALID", "empty key"),
    ],
)
def test_a_bad_filter_or_effort_is_refused_before_any_shard_is_asked(
    stage: Stage, fields: dict[str, object], reason: str, says: str
) -> None:
    shard = FakeShard()
    router = stage.router([shard])
    error = refused(router.stub.Search, request(**fields))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", reason)
    assert says in error.message
    assert not shard.searches


def test_a_hanging_shard_does_not_hold_the_answer_beyond_the_deadline(stage: Stage) -> None:
    good, hanging = FakeShard([hit("a", 0.9)], patches=3), FakeShard([hit("b", 0.8)], patches=4)
    router = stage.router([good, hanging], merge_reserve_ms=200)
    router.stub.Search(request(), timeout=10)
    hanging.go_on.clear()
    began = time.monotonic()
    response = router.stub.Search(request(), timeout=1.0)
    # Answered 200 ms before the caller would give up; the rest is for busy machines.
    assert time.monotonic() - began < 2.0
    assert ids(response) == ["a"]
    coverage = response.coverage
    assert coverage.degraded
    assert (coverage.partitions_answered, coverage.partitions_timed_out) == (1, 1)
    assert (coverage.patches_covered, coverage.patches_total) == (3, 7)
    assert "p1 on shard-1" in response.warnings[0]
    assert "timed out" in response.warnings[0]
    assert hanging.cancelled.wait(5)


def test_when_nobody_answers_in_time_it_is_an_error_and_not_an_empty_answer(stage: Stage) -> None:
    shard = FakeShard()
    router = stage.router([shard])
    shard.go_on.clear()
    began = time.monotonic()
    error = refused(router.stub.Search, request(), timeout=0.3)
    assert error.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 1.0


def test_a_failing_shard_is_counted_and_named(stage: Stage) -> None:
    good, failing = FakeShard([hit("a", 0.9)]), FakeShard()
    router = stage.router([good, failing])
    failing.error = InternalError("INTERNAL", "a defect")
    response = router.stub.Search(request(), timeout=10)
    assert ids(response) == ["a"]
    assert response.coverage.partitions_failed == 1
    assert "a defect" in response.warnings[0]


def test_an_error_in_one_partition_leaves_the_others_of_the_shard(stage: Stage) -> None:
    shard = FakeShard([hit("a", 0.9)])
    router = stage.router([shard], partitions=2)
    shard.refused["p1"] = Unavailable("NOT_READY", "still opening")
    response = router.stub.Search(request(), timeout=10)
    assert ids(response) == ["a"]
    assert (response.coverage.partitions_answered, response.coverage.partitions_failed) == (1, 1)


def test_a_stopped_shard_degrades_the_answer_and_min_coverage_refuses_it(stage: Stage) -> None:
    shards = [FakeShard([hit("a", 0.9)]), FakeShard([hit("b", 0.8)])]
    router = stage.router(shards)
    stage.servers[1].stop(0)
    response = router.stub.Search(request(), timeout=10)
    assert ids(response) == ["a"]
    assert response.coverage.partitions_failed == 1
    assert router.stub.Search(request(min_coverage=0.5), timeout=10).coverage.degraded
    error = refused(router.stub.Search, request(min_coverage=0.51))
    assert (error.code, error.reason) == ("UNAVAILABLE", "COVERAGE_TOO_LOW")
    assert "1 of 2 partitions" in error.message
    stage.servers[0].stop(0)
    error = refused(router.stub.Search, request())
    assert (error.code, error.reason) == ("UNAVAILABLE", "COVERAGE_TOO_LOW")


def test_an_error_that_all_partitions_agree_on_is_the_callers(stage: Stage) -> None:
    shard = FakeShard()
    router = stage.router([shard], partitions=2)
    shard.error = FailedPrecondition("ENCODER_MISMATCH", "of another encoder")
    error = refused(router.stub.Search, request())
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ENCODER_MISMATCH")


def test_a_caller_that_goes_away_takes_its_shard_calls_along(stage: Stage) -> None:
    shard = FakeShard()
    router = stage.router([shard])
    shard.go_on.clear()
    call = router.stub.Search.future(request(), timeout=30)
    while not shard.searches:
        time.sleep(0.01)
    call.cancel()
    assert shard.cancelled.wait(5)
    with pytest.raises(grpc.FutureCancelledError):
        call.result()


def test_searches_of_a_batch_are_one_call_at_a_shard_and_fail_alone(stage: Stage) -> None:
    shards = [FakeShard([hit("a", 0.9), hit("c", 0.5)]), FakeShard([hit("b", 0.7)])]
    router = stage.router(shards, partitions=2)
    batch = BatchSearchRequest(
        requests=[request(k=1), request(k=0), request(k=3, ef=99), SearchRequest()]
    )
    results = router.stub.BatchSearch(batch, timeout=20).results
    assert [r.WhichOneof("outcome") for r in results] == ["response", "error", "response", "error"]
    assert [ids(results[at].response) for at in (0, 2)] == [["a"], ["a", "b", "c"]]
    assert results[2].response.coverage.patches_covered == 20
    for shard in shards:
        (search,) = shard.searches
        (further,) = search.further_queries
        assert (search.k, further.k, further.ef) == (1, 3, 99)
        assert (list(further.partition_ids), further.epoch) == ([], 0)


def test_long_batches_are_several_calls_side_by_side(stage: Stage) -> None:
    shard = FakeShard([hit("a", 0.9)])
    router = stage.router([shard])
    shard.go_on.clear()
    requests = [request(k=k) for k in range(1, 41)]
    call = router.stub.BatchSearch.future(BatchSearchRequest(requests=requests), timeout=20)
    while len(shard.searches) < 3:
        time.sleep(0.01)
    shard.go_on.set()
    assert [ids(result.response) for result in call.result().results] == [["a"]] * 40
    asked = [[s.k, *(f.k for f in s.further_queries)] for s in shard.searches]
    assert sorted(len(ks) for ks in asked) == [13, 13, 14]
    assert sorted(k for ks in asked for k in ks) == list(range(1, 41))


def test_searches_that_take_long_or_find_much_are_calls_of_their_own(stage: Stage) -> None:
    shard = FakeShard([hit("a", 0.9)])
    router = stage.router([shard])
    requests = [request(k=2), request(k=2), request(k=1, exact=True), request(k=1, exact=True)]
    router.stub.BatchSearch(BatchSearchRequest(requests=requests), timeout=20)
    assert sorted(len(s.further_queries) for s in shard.searches) == [0, 0, 1]
    shard.searches.clear()
    router.stub.BatchSearch(BatchSearchRequest(requests=[request(k=500)] * 5), timeout=20)
    assert sorted(len(s.further_queries) for s in shard.searches) == [0, 1, 1]


def test_a_shard_of_an_earlier_release_is_asked_for_each_search_of_a_batch(stage: Stage) -> None:
    shards = [FakeShard([hit("a", 0.9), hit("c", 0.5)]), FakeShard([hit("b", 0.7)])]
    shards[1].answers_further = False
    router = stage.router(shards, partitions=2)
    batch = BatchSearchRequest(requests=[request(k=1), request(k=2), request(k=3)])
    results = router.stub.BatchSearch(batch, timeout=20).results
    assert [ids(r.response) for r in results] == [["a"], ["a", "b"], ["a", "b", "c"]]
    assert not any(r.response.coverage.degraded for r in results)


def test_answers_that_are_too_large_together_are_asked_for_one_by_one(stage: Stage) -> None:
    shard = FakeShard([hit("a", 0.9), hit("b", 0.7)])
    shard.largest = 2
    router = stage.router([shard])
    batch = BatchSearchRequest(requests=[request(k=2), request(k=1)])
    results = router.stub.BatchSearch(batch, timeout=20).results
    assert [ids(r.response) for r in results] == [["a", "b"], ["a"]]


def test_every_search_of_a_batch_says_what_it_lacks(stage: Stage) -> None:
    shards = [FakeShard([hit("a", 0.9)]), FakeShard([hit("b", 0.7)])]
    shards[1].refused["p1"] = InternalError("INTERNAL", "broken")
    router = stage.router(shards, partitions=2)
    batch = BatchSearchRequest(requests=[request(), request(min_coverage=0.9), request(k=1)])
    results = router.stub.BatchSearch(batch, timeout=20).results
    assert [r.WhichOneof("outcome") for r in results] == ["response", "error", "response"]
    assert [results[at].response.coverage.partitions_failed for at in (0, 2)] == [1, 1]
    assert error_from_status(results[1].error).reason == "COVERAGE_TOO_LOW"


def test_a_batch_is_answered_in_time_without_a_shard_that_hangs(stage: Stage) -> None:
    shards = [FakeShard([hit("a", 0.9)]), FakeShard([hit("b", 0.7)])]
    router = stage.router(shards, partitions=2)
    shards[1].go_on.clear()
    batch = BatchSearchRequest(requests=[request(), request(k=1)])
    began = time.monotonic()
    results = router.stub.BatchSearch(batch, timeout=1).results
    assert time.monotonic() - began < 2
    assert [ids(r.response) for r in results] == [["a"], ["a"]]
    assert [r.response.coverage.partitions_timed_out for r in results] == [1, 1]
    assert all(r.response.coverage.degraded for r in results)
    assert shards[1].cancelled.wait(5)
    stage.servers[1].stop(0)
    results = router.stub.BatchSearch(batch, timeout=10).results
    assert [ids(r.response) for r in results] == [["a"], ["a"]]
    assert [r.response.coverage.partitions_failed for r in results] == [1, 1]


def test_many_searches_at_a_time_do_not_mix(stage: Stage) -> None:
    shard = FakeShard([hit(f"i{n}", 1.0 - n / 100) for n in range(50)])
    router = stage.router([shard], partitions=3)
    wrong: list[int] = []

    def search(k: int) -> None:
        for _ in range(10):
            if len(router.stub.Search(request(k=k), timeout=20).hits) != k:
                wrong.append(k)

    threads = [threading.Thread(target=search, args=(k,)) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
