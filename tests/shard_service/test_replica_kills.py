"""Shards killed with SIGKILL in the middle of a pull or a repair, then started again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from tests.shard_service.killing import fill, killed_at
from tests.shard_service.replica_shards import records, running


@pytest.mark.parametrize(("point", "occurrence"), [("mid-pull", 1), ("after-install", 1)])
def test_killed_in_a_pull(
    tmp_path: Path, rng: np.random.Generator, point: str, occurrence: int
) -> None:
    with running(tmp_path / "a") as source:
        fill(source, rng)
        request = pb.PullPartitionRequest(partition_id="p0", source=source.address)
        killed_at(
            point,
            occurrence,
            tmp_path / "b",
            lambda stub: list(stub.PullPartition(request, timeout=60)),
        )
        installed = point == "after-install"
        assert (tmp_path / "b/partitions/p0").exists() == installed
        with running(tmp_path / "b", create=False) as target:
            assert not [*(tmp_path / "b/partitions").glob(".*")]
            assert target.pull_from(source)[-1].already_held == installed
            assert target.digest() == source.digest()
            assert records(tmp_path / "a/partitions/p0") == records(tmp_path / "b/partitions/p0")


def test_the_source_killed_in_a_pull(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path / "a") as source:
        fill(source, rng)
    with running(tmp_path / "b", create=False) as target:

        def pull(stub: ShardServiceStub) -> None:
            # Through the other door: the source is what dies.
            next(iter(stub.CopyPartition(pb.CopyPartitionRequest(partition_id="p0"), timeout=60)))

        killed_at("mid-snapshot", 1, tmp_path / "a", pull)
        assert [*(tmp_path / "a/copies").iterdir()]
        with running(tmp_path / "a", create=False) as source:
            assert not (tmp_path / "a/copies").exists()
            target.pull_from(source)
            assert target.digest() == source.digest()


def test_killed_in_a_repair(tmp_path: Path, rng: np.random.Generator) -> None:
    with running(tmp_path / "b"):
        pass
    with running(tmp_path / "a") as source:
        fill(source, rng)
        request = pb.RepairPartitionRequest(partition_id="p0", source=source.address)
        killed_at(
            "after-commit",
            3,
            tmp_path / "b",
            lambda stub: stub.RepairPartition(request, timeout=60),
        )
        with running(tmp_path / "b", create=False) as target:
            before = target.partition.describe().images
            images, _ = target.repair_from(source)
            assert before + images == source.partition.describe().images
            assert target.digest() == source.digest()
            assert records(tmp_path / "a/partitions/p0") == records(tmp_path / "b/partitions/p0")
