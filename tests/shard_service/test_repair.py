"""Replicas take from each other what they missed, and what is damaged."""

from __future__ import annotations

from pathlib import Path

import grpc
import lmdb
import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from service_runtime.clients import open_channel
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Workers
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.oracle import found
from tests.shard_service.replica_shards import fill, now_version, records, running


def test_a_replica_that_missed_writes_is_repaired(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        fill(one, rng, 300)
        assert other.repair_from(one) == (300, 0)
        assert one.digest() == other.digest()
        assert other.repair_from(one) == (0, 0)

        writes = [photo(f"i{n}", row_of_boxes(3), units(rng, 3), version=999) for n in (5, 9)]
        one.partition.put(writes, FINGERPRINT)
        one.partition.delete(["i7", "unknown"], now_version())
        newer = [photo("i11", [], units(rng, 0), version=5000)]
        other.partition.put(newer, FINGERPRINT)
        other.partition.delete(["i5"], 1000)
        assert other.repair_from(one) == (1, 2)
        assert one.repair_from(other) == (1, 1)
        assert one.digest() == other.digest()
        for vector in units(rng, 5):
            query = PartitionQuery(vector, 100)
            assert found(one.partition.search(query, FINGERPRINT)) == found(
                other.partition.search(query, FINGERPRINT)
            )
        assert records(one.data / "partitions/p0") == records(other.data / "partitions/p0")
        gone = pb.DropPartitionRequest(partition_id="p0")
        assert one.stub.DropPartition(gone).dropped


def test_vectors_at_the_edge_of_the_tolerance_are_repaired(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    # Accepted by their float32 length; rounded to float16 some are longer than is accepted.
    vectors = units(rng, 200) * np.float32(1.00999)
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        one.partition.put(
            [photo("edge", row_of_boxes(200), vectors, size=(99999, 200))], FINGERPRINT
        )
        assert other.repair_from(one) == (1, 0)
        assert records(one.data / "partitions/p0") == records(other.data / "partitions/p0")


def test_images_too_large_for_one_message_come_one_by_one(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    def connect(address: str) -> grpc.Channel:
        return open_channel(address, max_message_mb=1)

    with running(tmp_path / "a") as one, running(tmp_path / "b", connect=connect) as other:
        boxes = row_of_boxes(2000)
        writes = [photo(f"l{n}", boxes, units(rng, 2000), size=(300000, 200)) for n in range(8)]
        one.partition.put(writes, FINGERPRINT)
        assert other.repair_from(one) == (8, 0)
        assert one.digest() == other.digest()


def damage_record(directory: Path, image_id: bytes, of_patch: bool) -> None:
    """Flips a bit in a record of a store that nobody has open."""
    env = lmdb.open(str(directory / "lmdb"), max_dbs=4)
    name = b"patches" if of_patch else b"images"
    try:
        database = env.open_db(name)
        with env.begin(write=True, db=database) as txn, txn.cursor() as cursor:
            for key, record in cursor:
                if (image_id in record) if of_patch else key == image_id:
                    spoiled = bytearray(record)
                    spoiled[30] ^= 4
                    txn.put(key, bytes(spoiled))
                    return
    finally:
        env.close()


@pytest.mark.parametrize("of_patch", [False, True])
def test_what_is_damaged_is_fetched_from_the_other_replica(
    tmp_path: Path, rng: np.random.Generator, of_patch: bool
) -> None:
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        fill(one, rng, 30, "image-")
        other.repair_from(one)
        expected = records(one.data / "partitions/p0")
    damage_record(tmp_path / "b/partitions/p0", b"image-7", of_patch)
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        assert other.partition.describe().damaged_images == 1
        assert other.digest() != one.digest(), "whoever compares them sees the damage"
        # A source with the same damage has nothing to give.
        assert other.repair_from(one) == (1, 0)
        assert other.partition.describe().damaged_images == 0
        assert other.digest() == one.digest()
        assert other.partition.describe().images == 30
        assert records(other.data / "partitions/p0") == expected
        query = PartitionQuery(units(rng, 1)[0], 200)
        assert found(one.partition.search(query, FINGERPRINT)) == found(
            other.partition.search(query, FINGERPRINT)
        )


def test_a_damaged_source_gives_what_is_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path / "a") as one:
        fill(one, rng, 30, "image-")
    damage_record(tmp_path / "a/partitions/p0", b"image-7", True)
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        assert other.repair_from(one) == (29, 0)


def test_repairs_of_one_partition_follow_each_other(
    tmp_path: Path, rng: np.random.Generator, workers: Workers
) -> None:
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        fill(one, rng, 300)
        fetched = []
        for _ in range(3):
            workers.start(lambda: fetched.append(other.repair_from(one)))
        workers.join()
        assert sorted(fetched) == [(0, 0), (0, 0), (300, 0)]
        assert one.digest() == other.digest()
