"""Shards killed with SIGKILL in the middle of a split or a drop, then started again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from tests.shard_service.killing import fill, killed_at
from tests.shard_service.material import FINGERPRINT, photo, units
from tests.shard_service.replica_shards import now_version, running
from tests.shard_service.splits import SPLIT, halves_hold_everything, split


def test_killed_in_a_split(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        fill(one, rng)
    killed_at("before-commit", 4, tmp_path, lambda stub: stub.SplitPartition(SPLIT, timeout=60))
    with running(tmp_path, create=False) as one:
        newer = [photo(f"i{n}", [], units(rng, 0), version=7) for n in range(1, 40)]
        one.partition.put(newer, FINGERPRINT)
        split(one)
        halves_hold_everything(tmp_path)


def test_killed_between_a_write_and_its_half(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        fill(one, rng, 20)
        split(one)

    def write_after_split(stub: ShardServiceStub) -> None:
        stub.SplitPartition(SPLIT, timeout=60)
        image = pb.StoredImage(image_id="late", version=now_version(), width=9, height=9)
        stub.PutImages(pb.PutImagesRequest(partition_id="p0", images=[image]), timeout=60)

    killed_at("after-commit", 1, tmp_path, write_after_split)
    with running(tmp_path, create=False) as one:
        assert one.partition.get_images(["late"], with_patches=False)
        split(one)
        halves_hold_everything(tmp_path)


def test_killed_in_a_drop(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path) as one:
        fill(one, rng, 20)
    drop = pb.DropPartitionRequest(partition_id="p0")
    killed_at("mid-drop", 1, tmp_path, lambda stub: stub.DropPartition(drop, timeout=60))
    with running(tmp_path, create=False) as one:
        assert not [*(tmp_path / "partitions").iterdir()]
        assert not one.stub.DropPartition(drop).dropped
