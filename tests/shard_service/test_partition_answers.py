"""Answers equal the oracle's: order, scores, dedup, thresholds, replacing and deleting."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchsearch.errors import FailedPrecondition, InvalidArgument
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Opened
from tests.shard_service.material import DIM, FINGERPRINT, clustered, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found


def both(partition: Partition, oracle: Oracle, query: PartitionQuery) -> None:
    assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)


def test_an_empty_partition_has_no_hits(partition: Partition, rng: np.random.Generator) -> None:
    answer = partition.search(PartitionQuery(units(rng, 1)[0], 16), FINGERPRINT)
    assert (answer.hits, answer.patches) == ((), 0)


def test_hits_carry_the_image_that_was_put(partition: Partition, rng: np.random.Generator) -> None:
    vectors = units(rng, 2)
    partition.put([photo("a\nb/ü", [(0, 0, 10, 20), (50, 60, 30, 40)], vectors)], FINGERPRINT)
    hit = partition.search(PartitionQuery(vectors[1], 1), FINGERPRINT).hits[0]
    assert hit.box == (50, 60, 30, 40)
    assert hit.level == 1
    assert hit.image.image_id == "a\nb/ü".encode()
    assert (hit.image.uri, hit.image.width, hit.image.height) == ("file:///a\nb/ü", 4000, 2000)
    assert hit.score == pytest.approx(1.0, abs=1e-3)


def test_equal_scores_are_ordered_by_id_bytes_then_box(
    partition: Partition, rng: np.random.Generator
) -> None:
    vector = units(rng, 1)
    oracle = Oracle()
    ids = ["b", "a", "ä", "a\U0001f600", "a\uffff", "B", "aa"]
    for image_id in ids:
        write = photo(
            image_id, [(200, 0, 50, 50), (0, 0, 50, 50), (0, 60, 50, 50)], np.repeat(vector, 3, 0)
        )
        partition.put([write], FINGERPRINT)
        oracle.put(write)
    for k in range(1, 3 * len(ids) + 2):
        both(partition, oracle, PartitionQuery(vector[0], k))


BOXES = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 12), st.integers(1, 12))


@st.composite
def collections(draw: st.DrawFn) -> list[tuple[str, list[tuple[int, int, int, int]], list[int]]]:
    images = []
    for number in range(draw(st.integers(1, 5))):
        boxes = draw(st.lists(BOXES, min_size=0, max_size=14, unique=True))
        # Few directions, so that many patches score the same.
        directions = draw(st.lists(st.integers(0, 4), min_size=len(boxes), max_size=len(boxes)))
        images.append((f"i{number}", boxes, directions))
    return images


@settings(max_examples=30, deadline=None)
@given(collection=collections(), seed=st.integers(0, 5), threshold=st.none() | st.floats(-0.3, 0.3))
def test_dedup_of_heavily_overlapping_boxes_for_every_k(
    collection: list[tuple[str, list[tuple[int, int, int, int]], list[int]]],
    seed: int,
    threshold: float | None,
) -> None:
    rng = np.random.default_rng(seed)
    directions, query = units(rng, 5), units(rng, 1)[0]
    oracle = Oracle()
    directory = Path(tempfile.mkdtemp())
    opened = Opened(directory / "p0")
    try:
        partition = opened()
        writes = [
            photo(
                image_id,
                boxes,
                directions[chosen] if boxes else np.empty((0, DIM), np.float32),
                size=(30, 30),
            )
            for image_id, boxes, chosen in collection
        ]
        assert partition.put(writes, FINGERPRINT) == oracle.put(*writes)
        for k in range(1, oracle.patches + 2):
            for exact in (False, True):
                both(partition, oracle, PartitionQuery(query, k, threshold, exact))
        both(partition, oracle, PartitionQuery(query, 7, threshold, keep_overlapping=True))
    finally:
        opened.close()
        shutil.rmtree(directory)


def test_replace_delete_and_replay_follow_the_versions(
    partition: Partition, rng: np.random.Generator
) -> None:
    oracle = Oracle()
    query = PartitionQuery(units(rng, 1)[0], 50)
    ids = [f"img-{number}" for number in range(6)]
    for _step in range(150):
        image_id = ids[rng.integers(len(ids))]
        version = int(rng.integers(1, 60))
        if rng.random() < 0.3:
            assert partition.delete([image_id], version) == oracle.delete([image_id], version)
        else:
            count = int(rng.integers(0, 6))
            write = photo(image_id, row_of_boxes(count, 60), units(rng, count), version=version)
            assert partition.put([write], FINGERPRINT) == oracle.put(write)
        both(partition, oracle, query)
        state = partition.describe()
        live = [key for key, stored in oracle.images.items() if stored[1] is not None]
        assert (state.images, state.patches) == (len(live), oracle.patches)
        assert [
            image.image.image_id.decode() for image in partition.list_images("", "", 100)
        ] == sorted(live)


def test_one_call_may_write_an_image_twice(partition: Partition, rng: np.random.Generator) -> None:
    oracle = Oracle()
    writes = [
        photo("a", row_of_boxes(2), units(rng, 2), version=2),
        photo("a", row_of_boxes(3), units(rng, 3), version=3),
        photo("a", row_of_boxes(1), units(rng, 1), version=1),
    ]
    assert partition.put(writes, FINGERPRINT) == [True, True, False] == oracle.put(*writes)
    both(partition, oracle, PartitionQuery(units(rng, 1)[0], 10))
    assert partition.describe().patches == 3


def test_a_deletion_outlives_an_older_write_that_comes_late(
    partition: Partition, rng: np.random.Generator
) -> None:
    assert partition.delete(["late"], 10) == [False]
    assert partition.put(
        [photo("late", row_of_boxes(1), units(rng, 1), version=9)], FINGERPRINT
    ) == [False]
    assert partition.put(
        [photo("late", row_of_boxes(1), units(rng, 1), version=11)], FINGERPRINT
    ) == [True]


def test_images_read_back_whole(partition: Partition, rng: np.random.Generator) -> None:
    vectors = units(rng, 3)
    write = photo("whole", row_of_boxes(3), vectors, version=7, metadata=b"\x00opaque")
    partition.put([write, photo("empty", [], np.empty((0, DIM), np.float32))], FINGERPRINT)
    whole, empty = partition.get_images(["whole", "missing", "empty"], with_patches=True)
    assert (whole.image.version, whole.image.metadata, whole.image.digest) == (
        7,
        b"\x00opaque",
        b"digest",
    )
    assert whole.image.selection == "grid"
    assert whole.patches is not None and empty.patches is not None
    np.testing.assert_array_equal(whole.patches.vectors, vectors.astype(np.float16))
    np.testing.assert_array_equal(whole.patches.boxes, write[1].boxes)
    np.testing.assert_array_equal(whole.patches.scores, write[1].scores)
    assert len(empty.patches) == 0
    assert partition.get_images(["whole"], with_patches=False)[0].patches is None


def test_listing_pages_by_id_bytes_and_prefix(partition: Partition) -> None:
    none = np.empty((0, DIM), np.float32)
    ids = sorted(["a", "a/1", "a/2", "a0", "b", "ä", "a/\n", "a" * 511], key=str.encode)
    partition.put([photo(image_id, [], none) for image_id in ids], FINGERPRINT)
    partition.delete(["a0"], 5)
    ids.remove("a0")

    def names(after: str, prefix: str, size: int) -> list[str]:
        return [i.image.image_id.decode() for i in partition.list_images(after, prefix, size)]

    assert names("", "", 100) == ids
    assert names("", "a/", 100) == [one for one in ids if one.startswith("a/")]
    assert names("b", "a", 10) == []
    assert names("a" * 511, "", 10) == ids[ids.index("a" * 511) + 1 :]
    assert names("a" * 600, "", 10) == ids[ids.index("a" * 511) + 1 :]
    assert names("", "a" * 512, 10) == []
    paged: list[str] = []
    while page := names(paged[-1] if paged else "", "", 2):
        paged += page
    assert paged == ids


def test_many_dead_rows_neither_show_nor_cost_hits(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition, oracle = opened(), Oracle()
    query = units(rng, 1)[0]
    for version in range(1, 9):
        writes = [
            photo(f"i{number}", row_of_boxes(40), units(rng, 40), version=version)
            for number in range(40)
        ]
        partition.put(writes, FINGERPRINT)
        oracle.put(*writes)
    both(partition, oracle, PartitionQuery(query, 1000))
    opened.close()
    both(opened(), oracle, PartitionQuery(query, 1000))


@pytest.mark.parametrize("profile", ["exact", "hnsw", "opq64", "graph"])
def test_sealed_segments_answer_with_exact_scores(
    opened: Opened, rng: np.random.Generator, profile: str
) -> None:
    partition, oracle = opened(profile=profile), Oracle()
    centres = rng.standard_normal((40, DIM))
    for start in range(0, 240, 40):
        writes = [
            photo(f"i{number}", row_of_boxes(12, 80), clustered(rng, centres, 12))
            for number in range(start, start + 40)
        ]
        partition.put(writes, FINGERPRINT)
        oracle.put(*writes)
        if start in (80, 160):
            assert partition.seal() > 0
    state = partition.describe()
    assert (state.sealed_segments, state.profile, state.growing_patches) == (2, profile, 480)
    partition.delete([f"i{number}" for number in range(0, 240, 3)], 5)
    oracle.delete([f"i{number}" for number in range(0, 240, 3)], 5)
    agreed = 0
    for vector in clustered(rng, centres, 8):
        query = PartitionQuery(vector, 16)
        expected = oracle.search(query)
        answered = found(partition.search(query, FINGERPRINT))
        assert answered == sorted(answered, key=lambda hit: (-hit[2], hit[0].encode(), hit[1]))
        agreed += len(set(answered) & set(expected))
        both(partition, oracle, PartitionQuery(vector, 16, exact=True))
        # More than any index is asked for: all rows are read, and nothing may be missing.
        both(partition, oracle, PartitionQuery(vector, 1000))
        both(partition, oracle, PartitionQuery(vector, 1000, score_threshold=0.4))
    assert agreed / (8 * 16) >= 0.97


@pytest.mark.parametrize("k", [0, 1001, 10**6])
def test_k_out_of_range(partition: Partition, rng: np.random.Generator, k: int) -> None:
    with pytest.raises(InvalidArgument, match=r"ask for 1 to 1000.*K_OUT_OF_RANGE"):
        partition.search(PartitionQuery(units(rng, 1)[0], k), FINGERPRINT)


def test_vectors_of_another_encoder_are_refused(
    partition: Partition, rng: np.random.Generator
) -> None:
    with pytest.raises(FailedPrecondition, match=r"0123.*test-encoder.*ENCODER_MISMATCH"):
        partition.search(PartitionQuery(units(rng, 1)[0], 1), "0123")
    with pytest.raises(FailedPrecondition, match="ENCODER_MISMATCH"):
        partition.put([photo("a", row_of_boxes(1), units(rng, 1))], "0123")


def test_malformed_writes_change_nothing(partition: Partition, rng: np.random.Generator) -> None:
    good = photo("good", row_of_boxes(1), units(rng, 1))
    box = [(0, 0, 10, 10)]
    spoiled = units(rng, 1)
    spoiled[0, 3] = np.nan
    bad = {
        "VECTOR_INVALID": [
            photo("a", box, units(rng, 1, DIM + 64)),
            photo("a", box, spoiled),
            photo("a", box, np.zeros((1, DIM), np.float32)),
            photo("a", box, 3 * units(rng, 1)),
        ],
        "PATCHES_INVALID": [
            photo("a", box * 2, units(rng, 2)),
            photo("a", [(3995, 0, 10, 10)], units(rng, 1)),
            photo("a", [(-1, 0, 10, 10)], units(rng, 1)),
            photo("a", [(0, 0, 0, 10)], units(rng, 1)),
            photo("a", [(2**31 - 1, 0, 2**31 - 1, 1)], units(rng, 1)),
            photo("a", row_of_boxes(4097, 1, 1), units(rng, 4097), size=(9000, 10)),
            photo("a", [], units(rng, 0), size=(0, 10)),
        ],
        "IMAGE_ID_INVALID": [
            photo("", box, units(rng, 1)),
            photo("x" * 512, box, units(rng, 1)),
        ],
    }
    for reason, writes in bad.items():
        for write in writes:
            with pytest.raises(InvalidArgument) as raised:
                partition.put([good, write], FINGERPRINT)
            assert raised.value.reason == reason
    assert partition.describe().images == 0
    for image_id in ("", "x" * 512, "\ud800"):
        with pytest.raises(InvalidArgument, match="IMAGE_ID_INVALID"):
            partition.delete([image_id], 1)
