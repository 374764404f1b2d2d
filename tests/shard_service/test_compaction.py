"""Merging and compacting: what becomes of segments, and that nobody can tell from the answers."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import FailedPrecondition
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def put(
    partition: Partition, oracle: Oracle, rng: np.random.Generator, prefix: str, images: int = 80
) -> None:
    writes = [photo(f"{prefix}{n}", row_of_boxes(5), units(rng, 5)) for n in range(images)]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)


def delete(partition: Partition, oracle: Oracle, ids: list[str], version: int = 5) -> None:
    assert partition.delete(ids, version) == oracle.delete(ids, version)


def agrees(partition: Partition, oracle: Oracle, rng: np.random.Generator) -> None:
    assert partition.describe().patches == oracle.patches
    for vector in units(rng, 3):
        query = PartitionQuery(vector, 1000)
        assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)


def segments(opened: Opened) -> list[Path]:
    return sorted((opened.directory / "segments").iterdir())


def test_small_segments_merge_on_their_own(opened: Opened, rng: np.random.Generator) -> None:
    partition, oracle = opened(seal_patches=400), Oracle()
    for number in range(4):
        put(partition, oracle, rng, f"{number}-")
        eventually(lambda: partition.describe().growing_patches == 0)
        agrees(partition, oracle, rng)
    eventually(lambda: partition.describe().sealed_segments == 1)
    agrees(partition, oracle, rng)
    eventually(lambda: len(segments(opened)) == 1)
    opened.close()
    partition = opened()
    assert partition.describe().sealed_segments == 1
    agrees(partition, oracle, rng)


def test_in_idle_time_two_become_one(opened: Opened, rng: np.random.Generator) -> None:
    partition, oracle = opened(idle_s=0.2), Oracle()
    for prefix in "ab":
        put(partition, oracle, rng, prefix)
        partition.seal()
    eventually(lambda: partition.describe().sealed_segments == 1)
    agrees(partition, oracle, rng)


def test_a_segment_with_many_deleted_rows_is_rebuilt(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    put(partition, oracle, rng, "a", images=100)
    partition.seal()
    (first,) = segments(opened)
    delete(partition, oracle, [f"a{n}" for n in range(20)])
    assert partition.describe().deleted_patches == 100
    delete(partition, oracle, ["a20"])
    eventually(lambda: partition.describe().deleted_patches == 0)
    eventually(lambda: len(segments(opened)) == 1 and segments(opened)[0] != first)
    agrees(partition, oracle, rng)


def test_a_segment_without_live_rows_goes(opened: Opened, rng: np.random.Generator) -> None:
    partition, oracle = opened(), Oracle()
    put(partition, oracle, rng, "a")
    partition.seal()
    delete(partition, oracle, [f"a{n}" for n in range(80)])
    eventually(lambda: partition.describe().sealed_segments == 0)
    eventually(lambda: segments(opened) == [])
    agrees(partition, oracle, rng)


def test_compacting_leaves_one_segment_and_the_answers(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    for prefix in "abc":
        put(partition, oracle, rng, prefix)
        partition.seal()
    delete(partition, oracle, ["a3", "b4", "none"])
    put(partition, oracle, rng, "grown", images=7)
    queries = [PartitionQuery(vector, 16) for vector in units(rng, 10)]
    before = [found(partition.search(query, FINGERPRINT)) for query in queries]
    agrees(partition, oracle, rng)
    assert partition.compact() == (10, 3)
    state = partition.describe()
    assert (state.sealed_segments, state.growing_patches, state.deleted_patches) == (1, 0, 0)
    agrees(partition, oracle, rng)
    assert [found(partition.search(query, FINGERPRINT)) for query in queries] == before
    assert len(segments(opened)) == 1
    assert partition.compact() == (0, 0)
    delete(partition, oracle, ["a5"])
    assert partition.compact() == (5, 1)
    opened.close()
    partition = opened()
    assert (partition.describe().sealed_segments, partition.describe().deleted_patches) == (1, 0)
    agrees(partition, oracle, rng)


def test_compacting_an_empty_partition_does_nothing(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    assert partition.compact() == (0, 0)
    put(partition, oracle, rng, "a")
    partition.seal()
    delete(partition, oracle, [f"a{n}" for n in range(80)])
    partition.compact()
    assert (partition.describe().sealed_segments, segments(opened)) == (0, [])


def test_compacting_takes_what_has_grown_into_account(
    opened: Opened, rng: np.random.Generator
) -> None:
    """A codebook can be trained on all rows where those that grew would be too few."""
    partition, oracle = opened(profile="exact"), Oracle()
    put(partition, oracle, rng, "a", images=50)
    assert partition.seal() == 250
    opened.close()
    partition = opened()
    assert partition.describe().profile == "exact"
    with pytest.raises(FailedPrecondition, match=r"250 patches.*300.*PARTITION_TOO_SMALL"):
        partition.compact()
    put(partition, oracle, rng, "b", images=10)
    assert partition.compact() == (0, 1)
    assert (partition.describe().profile, partition.describe().growing_patches) == ("graph", 0)
    agrees(partition, oracle, rng)


def test_worn_segments_wait_for_the_codebook_of_another_profile(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition, oracle = opened(profile="exact"), Oracle()
    put(partition, oracle, rng, "a", images=60)
    partition.seal()
    opened.close()
    partition = opened(idle_s=0.05)
    delete(partition, oracle, [f"a{n}" for n in range(30)])
    time.sleep(0.3)
    # Too few rows to train on: the segment stays, and nothing fails.
    state = partition.describe()
    assert (state.activity, state.profile, state.deleted_patches) == ("", "exact", 150)
    agrees(partition, oracle, rng)


@pytest.mark.parametrize("profile", ["compact", "hnsw", "opq64", "exact"])
def test_compacting_brings_another_profile(
    opened: Opened, rng: np.random.Generator, profile: str
) -> None:
    partition, oracle = opened(), Oracle()
    for prefix in "ab":
        put(partition, oracle, rng, prefix)
        partition.seal()
    opened.close()
    partition = opened(profile=profile)
    assert partition.describe().profile == "graph"
    assert partition.compact() == (0, 2)
    assert partition.describe().profile == profile
    agrees(partition, oracle, rng)
    opened.close()
    partition = opened(profile=profile)
    assert partition.describe().profile == profile
    agrees(partition, oracle, rng)


def test_searches_and_writes_during_a_merge_see_every_row_once(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    for prefix in "abcd":
        put(partition, oracle, rng, prefix, images=100)
        partition.seal()
    steady = {key: value for key, value in oracle.images.items() if not key.endswith("7")}
    done = threading.Event()
    searches = [0, 0]

    def search(reader: int) -> None:
        order = np.random.default_rng(reader)
        names = sorted(steady)
        while not done.is_set():
            name = names[int(order.integers(len(names)))]
            vectors = steady[name][2]
            assert vectors is not None
            at = int(order.integers(5))
            query = vectors[at].astype(np.float32)
            answer = partition.search(
                PartitionQuery(query / np.linalg.norm(query), 1000), FINGERPRINT
            )
            rows = [(hit.image.image_id, hit.box) for hit in answer.hits]
            assert rows[0] == (name.encode(), (100 * at, 0, 100, 100))
            assert len(rows) == len(set(rows)) == min(1000, len(rows))
            searches[reader] += 1

    def change() -> None:
        version = 5
        order = np.random.default_rng(9)
        while not done.is_set():
            version += 1
            name = f"{'abcd'[version % 4]}{10 * int(order.integers(10)) + 7}"
            if version % 3:
                again = photo(name, row_of_boxes(2), units(order, 2), version=version)
                assert partition.put([again], FINGERPRINT) == oracle.put(again)
            else:
                delete(partition, oracle, [name], version)

    for reader in range(2):
        workers.start(lambda reader=reader: search(reader))
    workers.start(change)
    try:
        for _ in range(3):
            partition.compact()
    finally:
        done.set()
        workers.join()
    assert min(searches) > 0
    agrees(partition, oracle, rng)
    opened.close()
    agrees(opened(), oracle, rng)


class TestLeftovers:
    """What a kill in the middle of a compaction leaves."""

    @pytest.fixture
    def compacted(self, opened: Opened, rng: np.random.Generator) -> tuple[Oracle, Path]:
        """Both the merged segment and, beside it, the two that it replaces."""
        partition, oracle = opened(), Oracle()
        for prefix in "ab":
            put(partition, oracle, rng, prefix)
            partition.seal()
        delete(partition, oracle, ["a1"])
        kept = opened.directory / "kept"
        shutil.copytree(opened.directory / "segments", kept)
        assert partition.compact() == (5, 2)
        opened.close()
        (merged,) = segments(opened)
        for path in kept.iterdir():
            path.rename(opened.directory / "segments" / path.name)
        kept.rmdir()
        assert len(segments(opened)) == 3
        return oracle, merged

    def test_the_merged_segment_is_the_one_that_stays(
        self, opened: Opened, rng: np.random.Generator, compacted: tuple[Oracle, Path]
    ) -> None:
        oracle, merged = compacted
        partition = opened()
        assert partition.describe().sealed_segments == 1
        assert segments(opened) == [merged]
        agrees(partition, oracle, rng)

    def test_a_damaged_merged_segment_leaves_those_that_it_replaced(
        self, opened: Opened, rng: np.random.Generator, compacted: tuple[Oracle, Path]
    ) -> None:
        oracle, merged = compacted
        (merged / "boxes.npy").write_bytes(b"half")
        partition = opened()
        state = partition.describe()
        assert (state.sealed_segments, state.growing_patches) == (2, 0)
        agrees(partition, oracle, rng)

    def test_a_segment_that_was_being_removed_is_no_damage(
        self, opened: Opened, rng: np.random.Generator, compacted: tuple[Oracle, Path]
    ) -> None:
        oracle, merged = compacted
        for number, path in enumerate(segments(opened)):
            if path != merged:
                path.rename(path.with_name(f".unfinished-{number}"))
        (opened.directory / "segments/.unfinished-0/manifest.json").unlink(missing_ok=True)
        partition = opened()
        assert segments(opened) == [merged]
        agrees(partition, oracle, rng)
