"""A partition becomes two while it is written and searched."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import Unavailable
from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.options import PartitionOptions
from shard_service.replication.digests import hash_of
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Workers
from tests.shard_service.material import (
    FINGERPRINT,
    IDENTITY,
    photo,
    row_of_boxes,
    units,
)
from tests.shard_service.replica_shards import (
    now_version,
    refusal,
    running,
)
from tests.shard_service.splits import MIDDLE, SPLIT, halves_hold_everything, split


def test_both_halves_hold_everything_and_answer_the_same(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(tmp_path) as one:
        writes = [photo(f"i{n}", row_of_boxes(5), units(rng, 5)) for n in range(200)]
        one.partition.put(writes, FINGERPRINT)
        one.partition.seal()
        one.partition.delete([f"i{n}" for n in range(9)] + ["no"], now_version())
        last = split(one)[-1]
        assert (last.moved_images, last.total_images) == (191, 191)
        halves = [one.shard.partition(name) for name in ("low", "high")]
        assert halves[0].identity == replace(IDENTITY, partition_id="low", hash_end=MIDDLE)
        assert halves[1].identity == replace(IDENTITY, partition_id="high", hash_start=MIDDLE + 1)
        # What was written to the whole is in a half before it is acknowledged.
        more = [photo(f"j{n}", row_of_boxes(2), units(rng, 2)) for n in range(40)]
        one.partition.put(more, FINGERPRINT)
        one.partition.delete(["i20", "i21"], now_version())
        for _ in range(2):
            for vector in units(rng, 5):
                query = PartitionQuery(vector, 50, exact=True)
                merged = one.shard.search(["low", "high"], [(query, FINGERPRINT)])[0]
                whole = one.partition.search(query, FINGERPRINT)
                images = [(hit.image.image_id, hit.box, hit.score) for hit in merged.hits]
                assert images == [(hit.image.image_id, hit.box, hit.score) for hit in whole.hits]
            codebook = one.partition.describe().codebook
            assert [half.describe().codebook for half in halves] == [codebook] * 2
            assert halves[0].seal() or not halves[0].describe().growing_patches
        assert one.stub.SplitPartition(SPLIT).done
        halves_hold_everything(tmp_path)

        drop = pb.DropPartitionRequest(partition_id="p0")
        assert one.stub.DropPartition(drop).dropped
        halves[0].put([photo(low_id(), row_of_boxes(1), units(rng, 1))], FINGERPRINT)
        assert refusal(one.stub.SplitPartition, SPLIT)[1] == "PARTITION_NOT_FOUND"


def low_id() -> str:
    return next(f"x{n}" for n in range(99) if hash_of(b"x%d" % n) <= MIDDLE)


def test_writes_during_a_split_are_in_the_halves_when_it_is_done(
    tmp_path: Path, rng: np.random.Generator, workers: Workers
) -> None:
    with running(tmp_path) as one:
        writes = [photo(f"i{n}", row_of_boxes(3), units(rng, 3)) for n in range(900)]
        one.partition.put(writes, FINGERPRINT)
        stop = threading.Event()

        def write(thread: int) -> None:
            mine = np.random.default_rng(thread)
            # Clocks of routers: recent, and no two of them alike.
            version = now_version() + thread
            turn = 0
            while not stop.is_set():
                turn += 1
                version += 2
                ids = [f"i{n}" for n in mine.integers(0, 1000, 4)]
                if turn % 5:
                    puts = [photo(i, row_of_boxes(2), units(mine, 2), version=version) for i in ids]
                    one.partition.put(puts, FINGERPRINT)
                else:
                    one.partition.delete(ids, version)

        for thread in range(2):
            workers.start(lambda thread=thread: write(thread))
        try:
            split(one)
        finally:
            stop.set()
            workers.join()
        halves_hold_everything(tmp_path)


def test_a_restart_forgets_the_mirror_and_a_new_call_catches_up(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(tmp_path) as one:
        writes = [photo(f"i{n}", row_of_boxes(3), units(rng, 3)) for n in range(50)]
        one.partition.put(writes, FINGERPRINT)
        split(one)
    with running(tmp_path) as one:
        newer = [photo(f"i{n}", row_of_boxes(1), units(rng, 1), version=2) for n in range(0, 50, 3)]
        one.partition.put(newer, FINGERPRINT)
        one.partition.delete(["i1"], now_version())
        split(one)
        halves_hold_everything(tmp_path)
        one.partition.put([photo("last", row_of_boxes(1), units(rng, 1))], FINGERPRINT)
        halves_hold_everything(tmp_path)


def test_a_half_that_is_ahead_stays_so(tmp_path: Path, rng: np.random.Generator) -> None:
    """After the halves came into force they are written, and the whole is not."""
    with running(tmp_path) as one:
        one.partition.put(
            [photo(f"i{n}", row_of_boxes(1), units(rng, 1)) for n in range(9)], FINGERPRINT
        )
        split(one)
    with running(tmp_path) as one:
        ahead = photo(low_id(), row_of_boxes(1), units(rng, 1), version=9)
        one.shard.partition("low").put([ahead], FINGERPRINT)
        assert one.stub.SplitPartition(SPLIT).done
        assert one.shard.partition("low").get_images([low_id()], with_patches=False)


def test_dropping_a_half_gives_the_split_up(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        one.partition.put([photo("a", row_of_boxes(1), units(rng, 1))], FINGERPRINT)
        split(one)
        assert one.stub.DropPartition(pb.DropPartitionRequest(partition_id="low")).dropped
        writes = [photo(f"b{n}", row_of_boxes(1), units(rng, 1)) for n in range(20)]
        assert all(one.partition.put(writes, FINGERPRINT))
        # And it may be begun again.
        split(one)
        halves_hold_everything(tmp_path)


def test_what_a_half_does_not_take_is_not_acknowledged(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(tmp_path) as one:
        one.partition.put([photo("a", row_of_boxes(1), units(rng, 1))], FINGERPRINT)
        split(one)
        one.shard.partition("low").close()
        with pytest.raises(Unavailable, match="NOT_READY"):
            one.partition.put([photo(low_id(), row_of_boxes(1), units(rng, 1))], FINGERPRINT)
    with running(tmp_path) as one:
        split(one)
        halves_hold_everything(tmp_path)


def test_what_cannot_be_split_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        one.shard.create(replace(IDENTITY, partition_id="narrow", hash_start=7, hash_end=7))
        narrow = pb.SplitPartitionRequest(
            partition_id="narrow", lower_partition_id="l", upper_partition_id="u"
        )
        outcome = refusal(one.stub.SplitPartition, narrow)
        assert outcome == ("FAILED_PRECONDITION", "PARTITION_TOO_NARROW")
        split(one)
        other = pb.SplitPartitionRequest(
            partition_id="p0", lower_partition_id="l", upper_partition_id="u"
        )
        assert refusal(one.stub.SplitPartition, other)[1] == "SPLIT_UNDER_WAY"
        bad = pb.SplitPartitionRequest(partition_id="low", lower_partition_id="high")
        bad.upper_partition_id = "u"
        assert refusal(one.stub.SplitPartition, bad)[1] == "PARTITION_EXISTS"


def test_it_works_in_steps(tmp_path: Path, rng: np.random.Generator) -> None:
    """More than a second of work takes more than a call, and each one tells how far it is."""
    options = PartitionOptions(seal_patches=10**9, min_train_patches=10**9, map_bytes=1 << 24)
    with running(tmp_path, options) as one:
        for start in range(0, 3000, 1000):
            writes = [photo(f"i{start + n}", row_of_boxes(8), units(rng, 8)) for n in range(1000)]
            one.partition.put(writes, FINGERPRINT)
        first = one.replication.split("p0", "low", "high", 0.02)
        assert not first.done and 0 < first.moved_images < first.total_images == 3000
        answers = split(one)
        moved = [answer.moved_images for answer in answers]
        assert moved == sorted(moved) and moved[-1] == 3000


def test_a_step_that_fails_is_not_taken_for_the_end(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(tmp_path) as one:
        writes = [photo(f"i{n}", row_of_boxes(1), units(rng, 1)) for n in range(30)]
        one.partition.put(writes, FINGERPRINT)
        lower = replace(IDENTITY, partition_id="low", hash_end=MIDDLE)
        one.shard.create(lower)
        one.shard.partition("low").close()
        for _ in range(3):
            assert refusal(one.stub.SplitPartition, SPLIT) == ("UNAVAILABLE", "NOT_READY")
    with running(tmp_path) as one:
        split(one)
        halves_hold_everything(tmp_path)
