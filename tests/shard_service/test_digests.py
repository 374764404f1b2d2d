"""Digests follow the store, whatever range is asked for, and after every kind of opening."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchsearch.errors import InvalidArgument
from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.replication.digests import (
    BUCKETS,
    Cut,
    PartitionDigests,
    hash_of,
    record_digest,
)
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.replica_shards import other_range, refusal, running

LAST = (1 << 64) - 1
hashes = st.integers(0, LAST)


@settings(deadline=None)
@given(hashes, hashes, st.integers(1, 5000), hashes)
def test_every_hash_is_in_the_part_whose_bounds_hold_it(
    one: int, other: int, parts: int, value: int
) -> None:
    start, end = min(one, other), max(one, other)
    cut = Cut(start, end, parts)
    bounds = cut.bounds()
    assert bounds[0] == start and bounds[-1] == end + 1 and len(bounds) == cut.parts + 1
    assert all(low < high for low, high in pairwise(bounds))
    value = start + value % (end - start + 1)
    part = cut.part_of(value)
    assert bounds[part] <= value < bounds[part + 1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1 << 63), st.integers(0, 1 << 63))
def test_whole_buckets_are_found_in_every_cut_that_divides_them(start: int, width: int) -> None:
    digests = PartitionDigests(start, start + width)
    buckets = min(BUCKETS, width + 1)
    for parts in (1, 2, 64, 2048, 4096):
        if buckets % min(parts, width + 1) == 0:
            assert digests.ranges(start, start + width, parts) is not None


def test_halves_of_a_partition_consist_of_whole_buckets() -> None:
    digests = PartitionDigests(0, LAST)
    assert digests.ranges(0, LAST // 2, 2048) is not None
    assert digests.ranges(0, LAST // 2, 4096) is None
    assert digests.ranges(0, LAST, 7) is None
    assert digests.ranges(1, LAST, 1) is None


def test_digests_are_those_of_the_records(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    for version in range(1, 4):
        writes = [
            photo(f"i{n}", row_of_boxes(1), units(rng, 1), version=version)
            for n in range(0, 120, version)
        ]
        partition.put(writes, FINGERPRINT)
    partition.delete([f"i{n}" for n in range(40, 60)] + ["never"], 9)
    partition.delete(["i1"], 1)
    for again in range(2):
        if again:
            opened.close()
            partition = opened()
        states = dict(partition.replica.versions(0, LAST, b"", 10**6))
        totals = partition.replica.totals()
        assert totals.records == len(states) == 121
        assert totals.tombstones == sum(state.deleted for state in states.values()) == 21
        expected = 0
        for key, state in states.items():
            expected ^= record_digest(key, state)
        assert totals.digest == expected == partition.describe().digest
        for low, high, parts in ((0, LAST, 4096), (0, LAST, 7), (12345, LAST // 3, 5)):
            found = partition.replica.digests(low, high, parts)
            assert found[0].hash_start == low and found[-1].hash_end == high
            for one in found:
                inside = [
                    (key, state)
                    for key, state in states.items()
                    if one.hash_start <= hash_of(key) <= one.hash_end
                ]
                digest = 0
                for key, state in inside:
                    digest ^= record_digest(key, state)
                assert (one.records, one.digest) == (len(inside), digest)


def test_what_is_out_of_range_is_refused(opened: Opened) -> None:
    partition = opened(other_range(1 << 62, 1 << 63))
    for low, high in ((0, 1 << 63), (1 << 62, LAST), (1 << 63, 1 << 62)):
        with pytest.raises(InvalidArgument, match="HASH_OUT_OF_RANGE"):
            partition.replica.digests(low, high, 1)
        with pytest.raises(InvalidArgument, match="HASH_OUT_OF_RANGE"):
            partition.replica.versions(low, high, b"", 1)
    for parts in (0, 4097):
        with pytest.raises(InvalidArgument, match="BATCH_OUT_OF_RANGE"):
            partition.replica.digests(1 << 62, 1 << 63, parts)


def test_digests_and_versions_over_the_wire(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        writes = [photo(f"i{n:03}", row_of_boxes(1), units(rng, 1)) for n in range(50)]
        one.partition.put(writes, FINGERPRINT)
        one.partition.delete(["i007"], 4)
        whole = one.stub.DigestPartition(pb.DigestPartitionRequest(partition_id="p0", parts=1))
        (only,) = whole.ranges
        assert (only.hash_start, only.hash_end, only.records) == (0, LAST, 50)
        assert only.digest == one.digest() and len(only.digest) == 16
        parts = one.stub.DigestPartition(pb.DigestPartitionRequest(partition_id="p0", parts=16))
        assert sum(part.records for part in parts.ranges) == 50
        low = parts.ranges[3]
        seen = []
        after = ""
        while True:
            request = pb.ListVersionsRequest(
                partition_id="p0",
                hash_start=low.hash_start,
                hash_end=parts.ranges[9].hash_end,
                after=after,
                page_size=3,
            )
            page = one.stub.ListVersions(request).versions
            seen += page
            if len(page) < 3:
                break
            after = page[-1].image_id
        wanted = [
            f"i{n:03}"
            for n in range(50)
            if low.hash_start <= hash_of(b"i%03d" % n) <= parts.ranges[9].hash_end
        ]
        assert [version.image_id for version in seen] == wanted
        assert all(one.deleted == (one.image_id == "i007") for one in seen)
        for size in (0, 10001):
            request.page_size = size
            assert refusal(one.stub.ListVersions, request)[1] == "PAGE_SIZE_OUT_OF_RANGE"


def test_a_page_behind_any_text(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        longest = "l" * 511
        one.partition.put([photo(i, [], units(rng, 0)) for i in ("a", longest, "z")], FINGERPRINT)
        for after, expected in (("", 3), (longest, 1), ("l" * 10**5, 1), ("\0", 3), ("zz", 0)):
            request = pb.ListVersionsRequest(
                partition_id="p0", hash_end=LAST, after=after, page_size=10
            )
            assert len(one.stub.ListVersions(request).versions) == expected, after[:9]
