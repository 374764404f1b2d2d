"""Sealing in the background, beside searches and writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from patchsearch.errors import FailedPrecondition
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import DIM, FINGERPRINT, clustered, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_index_finds_what_a_scan_finds(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened(min_train_patches=1000)
    centres = rng.standard_normal((50, DIM))
    for start in range(0, 300, 100):
        partition.put(
            [
                photo(f"i{number}", row_of_boxes(10), clustered(rng, centres, 10))
                for number in range(start, start + 100)
            ],
            FINGERPRINT,
        )
    assert partition.seal() == 3_000
    agreed = 0
    for vector in clustered(rng, centres, 40):
        approximate = partition.search(PartitionQuery(vector, 16, oversample=6.0), FINGERPRINT)
        exact = partition.search(PartitionQuery(vector, 16, exact=True), FINGERPRINT)
        # Candidates came from the index, their scores from the stored vectors.
        assert 16 <= approximate.candidates_read < 1500 and exact.candidates_read == 3_000
        scores = {hit[:2]: hit[2] for hit in found(exact)}
        for hit in found(approximate):
            assert scores.get(hit[:2], hit[2]) == hit[2]
        agreed += len({hit[:2] for hit in found(approximate)} & set(scores))
    assert agreed / (40 * 16) >= 0.95


def test_deleted_and_replaced_rows_of_an_index_are_never_hits(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    query = units(rng, 1)[0]
    near = clustered(rng, query[None, :] * 8.0, 200)
    writes = [photo(f"i{n:03}", row_of_boxes(20), units(rng, 20)) for n in range(100)]
    # The 200 nearest patches, in ten images: whoever asks for few candidates gets only these.
    writes += [photo(f"near{n}", row_of_boxes(20), near[20 * n : 20 * n + 20]) for n in range(10)]
    partition.put(writes, FINGERPRINT)
    partition.seal()
    partition.delete([f"near{n}" for n in range(5)], 9)
    moved = [photo(f"near{n}", row_of_boxes(1), units(rng, 1), version=9) for n in range(5, 10)]
    partition.put(moved, FINGERPRINT)
    answer = partition.search(PartitionQuery(query, 16), FINGERPRINT)
    assert len(answer.hits) == 16
    # What is left of them has one patch, and that one points elsewhere.
    left = [hit for hit in answer.hits if hit.image.image_id.startswith(b"near")]
    assert all(hit.score < 0.6 and hit.image.version == 9 for hit in left)


def test_dedup_that_eats_the_candidates_asks_for_more(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    query = units(rng, 1)[0]
    boxes = [(at, at, 500, 500) for at in range(60)]
    # Each image's patches all overlap and are all near: k images need many more than k candidates.
    writes = [photo(f"i{n}", boxes, clustered(rng, query[None, :] * 4, 60)) for n in range(30)]
    writes += [photo(f"far{n}", row_of_boxes(30), units(rng, 30)) for n in range(40)]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)
    partition.seal()
    for k in (1, 5, 20):
        answer = found(partition.search(PartitionQuery(query, k, oversample=1.0), FINGERPRINT))
        assert len(answer) == k
        assert len({hit[0] for hit in answer}) == k
        # Every patch of the image is accounted for, whether the index gave it or not.
        assert all(len(hit[3]) == 59 for hit in answer)
    assert found(partition.search(PartitionQuery(query, 20), FINGERPRINT)) == oracle.search(
        PartitionQuery(query, 20)
    )


def test_an_acknowledged_image_is_found_at_once_by_everybody(
    opened: Opened, workers: Workers
) -> None:
    partition = opened(seal_patches=400)

    def write(writer: int) -> None:
        rng = np.random.default_rng(writer)
        for number in range(40):
            vectors = units(rng, 5)
            image_id = f"w{writer}-{number}"
            assert partition.put([photo(image_id, row_of_boxes(5), vectors)], FINGERPRINT) == [True]
            for at in (0, 4):
                hits = partition.search(PartitionQuery(vectors[at], 3), FINGERPRINT).hits
                assert (hits[0].image.image_id.decode(), hits[0].box[0]) == (image_id, 100 * at)

    for writer in range(6):
        workers.start(lambda writer=writer: write(writer))
    workers.join()
    eventually(lambda: partition.describe().activity == "")
    assert partition.describe().sealed_segments >= 1
    assert partition.describe().patches == 6 * 40 * 5


def test_searches_and_writes_go_on_while_segments_are_sealed(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    partition = opened(seal_patches=600)
    steady = units(rng, 30)
    partition.put(
        [photo(f"steady{n}", row_of_boxes(1), steady[n : n + 1]) for n in range(30)], FINGERPRINT
    )
    done = threading.Event()
    searches = [0]

    def search() -> None:
        order = np.random.default_rng(1)
        while not done.is_set():
            at = int(order.integers(30))
            answer = partition.search(PartitionQuery(steady[at], 50), FINGERPRINT)
            assert answer.hits[0].image.image_id == f"steady{at}".encode()
            rows = [(hit.image.image_id, hit.box) for hit in answer.hits]
            assert len(rows) == len(set(rows))
            # An image that is being replaced is there in one version, whole.
            swapped = [hit.image.version for hit in answer.hits if hit.image.image_id == b"swap"]
            assert len(set(swapped)) <= 1
            searches[0] += 1

    def replace() -> None:
        vectors = np.repeat(steady[:1], 8, 0)
        version = 1
        while not done.is_set():
            version += 1
            partition.put([photo("swap", row_of_boxes(8), vectors, version=version)], FINGERPRINT)
            hits = partition.search(PartitionQuery(steady[0], 9), FINGERPRINT).hits
            mine = [hit.image.version for hit in hits if hit.image.image_id == b"swap"]
            assert mine == [version] * 8

    workers.start(search)
    workers.start(search)
    workers.start(replace)
    try:
        for start in range(0, 600, 20):
            writes = [
                photo(f"more{n}", row_of_boxes(4), units(rng, 4)) for n in range(start, start + 20)
            ]
            partition.put(writes, FINGERPRINT)
        eventually(lambda: partition.describe().sealed_segments >= 2)
        eventually(lambda: partition.describe().growing_patches < 600)
    finally:
        done.set()
        workers.join()
    assert searches[0] > 0
    assert partition.describe().patches == 30 + 8 + 600 * 4


def test_what_changes_during_a_build_is_right_after_it(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    writes = [photo(f"i{n}", row_of_boxes(5), units(rng, 5)) for n in range(300)]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)
    sealed = threading.Event()

    def seal() -> None:
        try:
            assert partition.seal() == 1500
        finally:
            sealed.set()

    workers.start(seal)
    told: set[str] = set()
    # The changes must meet a build under way: it says so once its rows are fixed.
    while not any("1500 patches" in activity for activity in told) and not sealed.is_set():
        told.add(partition.describe().activity)
    number = 0
    while not sealed.is_set() or number < 20:
        number += 1
        told.add(partition.describe().activity)
        gone = [f"i{7 * number % 300}"]
        assert partition.delete(gone, number) == oracle.delete(gone, number)
        again = photo(f"i{5 * number % 300}", row_of_boxes(3), units(rng, 3), version=number)
        assert partition.put([again], FINGERPRINT) == oracle.put(again)
    workers.join()
    assert any("1500 patches" in activity for activity in told)
    # So much was deleted that it is rebuilt at once, or gone where nothing of it is left.
    assert partition.describe().sealed_segments <= 1
    eventually(lambda: partition.describe().activity == "")
    for _ in range(2):
        for vector in units(rng, 5):
            query = PartitionQuery(vector, 1000)
            assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)
        opened.close()
        partition = opened()
        assert partition.describe().patches == oracle.patches


def test_too_small_to_train_stays_exact_and_says_so(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened(seal_patches=10, min_train_patches=1000)
    partition.put([photo("a", row_of_boxes(30), units(rng, 30))], FINGERPRINT)
    with pytest.raises(FailedPrecondition, match=r"30 growing.*1000.*PARTITION_TOO_SMALL"):
        partition.seal()
    state = partition.describe()
    assert (state.profile, state.sealed_segments, state.growing_patches) == ("exact", 0, 30)


def test_sealing_nothing_seals_nothing(partition: Partition) -> None:
    assert partition.seal() == 0
    assert partition.describe().sealed_segments == 0


def test_later_segments_share_the_codebook(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    for version in range(3):
        # After the first one even a few rows can be sealed, and so they can after a restart.
        count = 30 if version else 400
        partition.put(
            [photo(f"v{version}-{n}", row_of_boxes(1), units(rng, 1)) for n in range(count)],
            FINGERPRINT,
        )
        assert partition.seal() == count
        opened.close()
        partition = opened()
    assert len(list((opened.directory / "codebooks").iterdir())) == 1
    assert partition.describe().sealed_segments == 3
