"""Partitions to take snapshots of, and what to look at in what comes back."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.snapshots.restoring import restore_snapshot
from tests.shard_service.material import FINGERPRINT, OPTIONS, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found

TABLES = ("segments", "codebooks")


def fill(
    partition: Partition, oracle: Oracle, rng: np.random.Generator, prefix: str, images: int = 80
) -> None:
    writes = [photo(f"{prefix}{n}", row_of_boxes(5), units(rng, 5)) for n in range(images)]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)


def agrees(partition: Partition, oracle: Oracle, rng: np.random.Generator) -> None:
    state = partition.describe()
    assert (state.images, state.patches) == (
        sum(boxes is not None for _, boxes, _ in oracle.images.values()),
        oracle.patches,
    )
    for vector in units(rng, 3):
        query = PartitionQuery(vector, 1000)
        assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)


def mixed(partition: Partition, rng: np.random.Generator) -> Oracle:
    """Two sealed segments with dead rows, and rows that grow."""
    oracle = Oracle()
    fill(partition, oracle, rng, "a")
    partition.seal()
    fill(partition, oracle, rng, "b")
    partition.seal()
    for ids in (["a3", "b7", "none"], ["a4"]):
        partition.delete(ids, 5)
        oracle.delete(ids, 5)
    fill(partition, oracle, rng, "c", images=10)
    return oracle


def restored(source: object, data: Path, **values: Any) -> Partition:
    summary = restore_snapshot(str(source), data, **values)
    directory = data / "partitions" / summary.identity.partition_id
    partition = Partition(directory, OPTIONS)
    # Nothing of it had to be mended.
    assert set(os.listdir(directory)) == {"lmdb", *TABLES}
    assert not (directory / "lmdb" / "salvage.json").exists()
    return partition


def files_below(directory: Path) -> list[str]:
    paths = (path for path in directory.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(directory)) for path in paths)


def hidden_below(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob(".*")]


@contextmanager
def files_up_to(limit: int) -> Iterator[None]:
    """Every file that this process writes ends there, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
