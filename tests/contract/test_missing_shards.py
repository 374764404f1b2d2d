"""Real shards that are stopped, restarted, or reached by nobody."""

from __future__ import annotations

import socket
import time

import pytest

from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.status import error_from_status
from tests.contract.cluster import Cluster, refused
from tests.contract.doors import CALL_TIMEOUT_S, vector_request
from tests.contract.fake_encoder import photo, vector_of

BOX = Box(0, 0, 50, 50)
QUERY = vector_of(1000)
NAMES = [f"frame/{n}" for n in range(40)]


@pytest.fixture
def filled(own_cluster: Cluster) -> Cluster:
    own_cluster.door.put_all([(name, [(BOX, n)]) for n, name in enumerate(NAMES)])
    return own_cluster


def test_hits_of_the_shards_that_answer_are_right_and_coverage_tells_what_is_missing(
    filled: Cluster,
) -> None:
    everything = filled.door.search(QUERY, 1000)
    filled.stop_shard(1)
    left = [h for h in everything if filled.shard_of(h.image_id) != 1]
    assert 0 < len(left) < len(everything)
    for k in (1, 5, 1000):
        response = filled.door.stub.Search(vector_request(QUERY, k=k), timeout=CALL_TIMEOUT_S)
        assert [h.image_id for h in response.hits] == [h.image_id for h in left[:k]]
    coverage = response.coverage
    assert coverage.degraded
    assert (coverage.partitions_total, coverage.partitions_answered) == (3, 2)
    assert coverage.partitions_failed + coverage.partitions_timed_out == 1
    assert (coverage.patches_covered, coverage.patches_total) == (len(left), len(everything))

    error = refused(filled.door.stub.Search, vector_request(QUERY, min_coverage=0.9))
    assert (error.code, error.reason) == ("UNAVAILABLE", "COVERAGE_TOO_LOW")
    accepted = vector_request(QUERY, min_coverage=0.66)
    assert filled.door.stub.Search(accepted, timeout=CALL_TIMEOUT_S).coverage.degraded

    error = refused(filled.door.stub.ListImages, pb.ListImagesRequest())
    assert (error.code, error.reason) == ("UNAVAILABLE", "PARTITION_UNAVAILABLE")
    told = filled.door.stub.DescribeCollection(
        pb.DescribeCollectionRequest(), timeout=CALL_TIMEOUT_S
    )
    assert [p.available for p in told.partitions] == [True, False, True]
    assert told.images == len(left)


def test_images_of_a_stopped_shard_fail_and_others_are_stored(filled: Cluster) -> None:
    filled.stop_shard(2)
    requests = [
        pb.IngestImagesRequest(image_id=f"new/{n}", content=photo([(BOX, n)])) for n in range(12)
    ]
    for result in filled.door.stub.IngestImages(iter(requests), timeout=CALL_TIMEOUT_S):
        lost = filled.shard_of(result.image_id) == 2
        assert result.outcome == (pb.INGEST_OUTCOME_FAILED if lost else pb.INGEST_OUTCOME_STORED)
        if lost:
            assert error_from_status(result.error).code == "UNAVAILABLE"


def test_a_shard_that_comes_back_is_found_again_with_all_it_had(filled: Cluster) -> None:
    everything = filled.door.search(QUERY, 1000)
    filled.stop_shard(0)
    assert filled.door.stub.Search(vector_request(QUERY), timeout=CALL_TIMEOUT_S).coverage.degraded
    filled.start_shard(0)
    ends = time.monotonic() + 15
    while filled.door.stub.Search(vector_request(QUERY), timeout=5).coverage.degraded:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert filled.door.search(QUERY, 1000) == everything


def test_an_address_that_swallows_calls_does_not_hold_the_answer(filled: Cluster) -> None:
    everything = filled.door.search(QUERY, 1000)
    filled.stop_shard(1)
    with socket.create_server(("127.0.0.1", filled.port_of(1))):
        # It is listened to, and nobody ever answers.
        time.sleep(0.1)
        for _ in range(2):
            began = time.monotonic()
            response = filled.door.stub.Search(vector_request(QUERY, k=1000), timeout=1.0)
            # Far more than the answer needs, for the sake of busy machines.
            assert time.monotonic() - began < 2.0
            expected = [h.image_id for h in everything if filled.shard_of(h.image_id) != 1]
            assert [h.image_id for h in response.hits] == expected
