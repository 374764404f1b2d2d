"""Everything that can happen to a partition, in any order, beside a dictionary that remembers."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from patchsearch.errors import FailedPrecondition
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from shard_service.search.query import PartitionQuery
from shard_service.snapshots.restoring import restore_snapshot
from shard_service.store.images import Image, PatchRows
from tests.shard_service.crash_copies import crash_copies
from tests.shard_service.material import FINGERPRINT, OPTIONS
from tests.shard_service.oracle import Oracle, found
from tests.shard_service.partition_material import (
    FILTERS,
    IDENTITY,
    METADATA,
    query_vector,
    random_photo,
)

BULK = 60
SEEDS = st.integers(0, 1000)
FEW_IDS = st.sampled_from(["cam0/a", "cam0/b", "cam1/a", "ä", *(f"bulk/{n}" for n in range(6))])
# What a version is more than the one that is stored: older, a replay, newer.
STEPS = st.sampled_from([1, 1, 1, 0, -1, 7])
QUERIES = st.builds(
    lambda seed, **options: PartitionQuery(query_vector(seed), **options),
    st.integers(0, 24),
    k=st.sampled_from([1, 2, 5, 16, 60, 1000]),
    score_threshold=st.none() | st.sampled_from([-0.2, 0.1, 0.5, 0.9]),
    exact=st.booleans(),
    keep_overlapping=st.booleans(),
    filter=st.none() | FILTERS,
)
BUILDING = st.sampled_from(
    ["before-rename", "after-rename", "before-swap", "after-swap", "mid-compaction"]
)


class PartitionMachine(RuleBasedStateMachine):
    """A partition of a few hundred patches, which is sealed when a rule says so.

    Segments with many deleted rows are rebuilt in the background meanwhile.
    """

    def __init__(self, profile: str) -> None:
        super().__init__()
        self._options = replace(OPTIONS, profile=profile)
        self._root = Path(tempfile.mkdtemp(prefix="machine-"))
        self._copies = 0
        self._slots = threading.Semaphore(1)
        self._directory = self._fresh()
        create_partition(self._directory, IDENTITY, OPTIONS.map_bytes)
        self._partition = self._opened(self._directory)
        self._oracle = Oracle()
        self._last: list[tuple[Image, PatchRows]] = []

    def teardown(self) -> None:
        self._partition.close()
        shutil.rmtree(self._root)

    @initialize(seed=SEEDS, metadata=st.lists(METADATA, min_size=4, max_size=4), seal=st.booleans())
    def enough_to_train(self, seed: int, metadata: list[dict[str, Any]], seal: bool) -> None:
        self._put_all(
            [
                random_photo(f"bulk/{n}", 6, 1000 * seed + n, metadata=metadata[n % 4])
                for n in range(BULK)
            ]
        )
        if seal:
            self._partition.seal()

    @rule(image_id=FEW_IDS, count=st.integers(0, 7), seed=SEEDS, step=STEPS, metadata=METADATA)
    def put(
        self, image_id: str, count: int, seed: int, step: int, metadata: dict[str, Any]
    ) -> None:
        version = self._version(image_id, step)
        self._put_all([random_photo(image_id, count, seed, version=version, metadata=metadata)])

    @rule(first=st.integers(0, BULK - 10), seed=SEEDS, step=STEPS, metadata=METADATA)
    def put_many(self, first: int, seed: int, step: int, metadata: dict[str, Any]) -> None:
        ids = [f"bulk/{n}" for n in range(first, first + 10)]
        version = max(self._version(image_id, step) for image_id in ids)
        self._put_all(
            [
                random_photo(image_id, 4, seed + at, version=version, metadata=metadata)
                for at, image_id in enumerate(ids)
            ]
        )

    @rule()
    def put_the_same_again(self) -> None:
        self._put_all(self._last)

    @rule(image_ids=st.lists(FEW_IDS, min_size=1, max_size=3, unique=True), step=STEPS)
    def delete(self, image_ids: list[str], step: int) -> None:
        self._delete(image_ids, max(self._version(image_id, step) for image_id in image_ids))

    @rule(first=st.integers(0, BULK - 15))
    def delete_many(self, first: int) -> None:
        ids = [f"bulk/{n}" for n in range(first, first + 15)]
        self._delete(ids, max(self._version(image_id, 1) for image_id in ids))

    @rule(query=QUERIES)
    def search(self, query: PartitionQuery) -> None:
        # So few rows that even an index is asked for all of them: nothing may be missing.
        self._agrees(self._partition, query)

    @rule(query=QUERIES, k=st.integers(1, 5))
    def search_hastily(self, query: PartitionQuery, k: int) -> None:
        """Asks the index for next to nothing: what it says is still true."""
        hasty = replace(query, k=k, exact=False, ef=1, nprobe=1, oversample=1.0)
        hits = [hit[:3] for hit in found(self._partition.search(hasty, FINGERPRINT))]
        every = [hit[:3] for hit in self._oracle.search(replace(query, k=1000))]
        places = [every.index(hit) for hit in hits]
        assert places == sorted(set(places))
        assert len(hits) == min(k, len(every))

    @rule()
    def seal(self) -> None:
        self._build(self._partition.seal)
        assert "sealing" not in self._partition.describe().activity

    @rule()
    def compact(self) -> None:
        if self._build(self._partition.compact):
            state = self._partition.describe()
            assert (state.growing_patches, state.deleted_patches) == (0, 0)
            assert state.sealed_segments == (1 if self._oracle.patches else 0)

    @rule(query=QUERIES, move=st.booleans())
    def snapshot_and_restore(self, query: PartitionQuery, move: bool) -> None:
        copy, data = self._fresh(), self._fresh()
        report = self._partition.snapshot(str(copy))
        assert (report.images, report.patches) == self._counts()
        data.mkdir()
        restore_snapshot(str(copy), data, fingerprint=FINGERPRINT)
        restored = self._opened(data / "partitions" / "p0")
        self._agrees(restored, query)
        self._agrees(restored, PartitionQuery(query.vector, 1000))
        if move:
            self._go_on(restored, data / "partitions" / "p0")
        else:
            restored.close()

    @rule()
    def reopen(self) -> None:
        self._partition.close()
        self._partition = self._opened(self._directory)

    @rule(
        image_id=FEW_IDS,
        seed=SEEDS,
        metadata=METADATA,
        point=st.sampled_from(["before-commit", "after-commit", "after-publish"]),
    )
    def kill_while_putting(
        self, image_id: str, seed: int, metadata: dict[str, Any], point: str
    ) -> None:
        version = self._version(image_id, 1)
        write = random_photo(image_id, 5, seed, version=version, metadata=metadata)
        copy = self._fresh()
        with self._nothing_built(), crash_copies().at(point, self._directory, copy):
            assert self._partition.put([write], FINGERPRINT) == [True]
        if point != "before-commit":
            self._oracle.put(write)
        self._go_on(self._opened(copy), copy)

    @rule(point=BUILDING, compact=st.booleans())
    def kill_while_building(self, point: str, compact: bool) -> None:
        copy = self._fresh()
        with crash_copies().at(point, self._directory, copy):
            self._build(self._partition.compact if compact else self._partition.seal)
        with self._nothing_built():
            # Where there was nothing to build, the moment is now.
            if not copy.exists():
                shutil.copytree(self._directory, copy)
        self._go_on(self._opened(copy), copy)

    @invariant()
    def everything_is_counted(self) -> None:
        state = self._partition.describe()
        assert (state.images, state.patches) == self._counts()
        assert state.damaged_images == 0

    def _put_all(self, writes: list[tuple[Image, PatchRows]]) -> None:
        assert self._partition.put(writes, FINGERPRINT) == self._oracle.put(*writes)
        self._last = writes

    def _delete(self, image_ids: list[str], version: int) -> None:
        deleted = self._partition.delete(image_ids, version)
        assert deleted == self._oracle.delete(image_ids, version)

    def _version(self, image_id: str, step: int) -> int:
        return max(1, self._oracle.images.get(image_id, (1, None, None))[0] + step)

    def _counts(self) -> tuple[int, int]:
        live = sum(boxes is not None for _, boxes, _ in self._oracle.images.values())
        return live, self._oracle.patches

    def _agrees(self, partition: Partition, query: PartitionQuery) -> None:
        assert found(partition.search(query, FINGERPRINT)) == self._oracle.search(query)

    def _build(self, work: Callable[[], object]) -> bool:
        """Whether it could be done: a codebook needs something to be trained on."""
        state = self._partition.describe()
        can_train = state.growing_patches >= OPTIONS.min_train_patches
        if state.growing_patches and not (
            can_train or state.codebook or self._options.profile == "exact"
        ):
            with pytest.raises(FailedPrecondition, match="PARTITION_TOO_SMALL"):
                work()
            return False
        work()
        return True

    def _opened(self, directory: Path) -> Partition:
        return Partition(directory, self._options, self._slots)

    @contextmanager
    def _nothing_built(self) -> Iterator[None]:
        """While it is entered the files are those of one moment, but for what is written."""
        with self._slots:
            yield

    def _go_on(self, partition: Partition, directory: Path) -> None:
        self._partition.close()
        self._partition, self._directory = partition, directory

    def _fresh(self) -> Path:
        self._copies += 1
        return self._root / f"{self._copies}"
