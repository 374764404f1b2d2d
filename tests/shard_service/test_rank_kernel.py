"""The compiled ranking against the same in plain Python."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patchsearch.geometry import Box
from shard_service.search.rank_kernel import overlooked, rank

SINGLES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
DIM = 6


@st.composite
def tables(draw: st.DrawFn) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float16]]:
    """Boxes, images and vectors of some rows; few values, so that much is equal and overlaps."""
    count = draw(st.integers(1, 24))
    side = st.integers(0, 6)
    boxes = [
        (draw(side), draw(side), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        for _ in range(count)
    ]
    images = sorted(draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)))
    vectors = np.array(
        [[draw(st.sampled_from((-1.0, 0.0, 0.25, 1.0))) for _ in range(DIM)] for _ in range(count)],
        np.float16,
    )
    return np.array(boxes, np.int32), np.array(images, np.int32), vectors


def plain(
    scores: list[float],
    rows: list[int],
    boxes: list[Box],
    images: list[int],
    threshold: float,
    k: int,
    dedup: bool,
) -> tuple[list[int], dict[int, list[int]]]:
    """The kept candidates, and what each suppresses."""
    order = sorted(
        (at for at in range(len(rows)) if scores[at] >= threshold),
        key=lambda at: (-scores[at], images[rows[at]], boxes[rows[at]]),
    )
    kept: list[int] = []
    suppressed: dict[int, list[int]] = {}
    for at in order:
        over = [
            other
            for other in kept
            if dedup
            and images[rows[other]] == images[rows[at]]
            and boxes[rows[other]].intersection(boxes[rows[at]])
        ]
        if over:
            suppressed.setdefault(over[0], []).append(at)
        elif len(kept) < k or scores[at] == scores[kept[k - 1]]:
            kept.append(at)
    return kept, suppressed


@settings(max_examples=200, deadline=None)
@given(
    tables(),
    st.data(),
    st.integers(1, 8),
    st.sampled_from((-np.inf, 0.0, 0.5)),
    st.booleans(),
)
def test_it_ranks_as_plain_python_does(
    table: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float16]],
    data: st.DataObject,
    k: int,
    threshold: float,
    dedup: bool,
) -> None:
    boxes, images, vectors = table
    drawn = data.draw(st.permutations(range(len(boxes))))
    rows = np.array(drawn[: data.draw(st.integers(1, len(boxes)))], np.int64)
    query = np.array([0.5, -0.25, 0.125, 1.0, 0.0, 0.75])
    known = data.draw(st.integers(0, len(rows)))
    exact = (vectors[rows].astype(np.float64) @ query).astype(np.float32)
    scores = np.zeros(len(rows), np.float32)
    scores[:known] = exact[:known]
    kept, suppressed, by, tied = rank(
        query,
        vectors[rows[known:]].view(np.uint16),
        SINGLES,
        rows,
        scores,
        known,
        boxes,
        images,
        threshold,
        k,
        dedup,
    )
    np.testing.assert_array_equal(scores, exact)
    all_boxes = [Box(*box) for box in boxes.tolist()]
    expected, behind = plain(
        exact.tolist(), rows.tolist(), all_boxes, images.tolist(), threshold, k, dedup
    )
    assert kept.tolist() == expected
    found: dict[int, list[int]] = {}
    for at, place in zip(suppressed.tolist(), by.tolist(), strict=True):
        found.setdefault(expected[place], []).append(at)
    assert found == behind
    pairs = itertools.pairwise(expected)
    assert tied == any(
        exact[one] == exact[two] and images[rows[one]] != images[rows[two]] for one, two in pairs
    )


@settings(max_examples=200, deadline=None)
@given(tables(), st.data())
def test_it_finds_the_rows_that_were_overlooked(
    table: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float16]], data: st.DataObject
) -> None:
    boxes, images, _ = table
    # Rows in another order than images and sequences, as in a sealed segment.
    order = np.array(data.draw(st.permutations(range(len(boxes)))), np.int64)
    boxes, row_images = boxes[order], images[order]
    image_rows = np.argsort(order).astype(np.int32)
    starts = np.searchsorted(images, np.arange(images.max() + 2)).astype(np.int64)
    rows = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(boxes)))[: len(boxes)])
    if len(rows) == 0:
        return
    count = data.draw(st.integers(1, len(rows)))
    chosen = np.array(data.draw(st.permutations(range(len(rows))))[:count], np.int64)
    found = overlooked(rows, chosen, boxes, row_images, starts, image_rows)
    all_boxes = [Box(*box) for box in boxes.tolist()]
    expected = {
        row
        for row in range(len(boxes))
        if row not in rows
        and any(
            row_images[row] == row_images[rows[at]]
            and all_boxes[row].intersection(all_boxes[rows[at]])
            for at in chosen.tolist()
        )
    }
    assert len(found) == len(set(found.tolist()))
    assert set(found.tolist()) == expected


def test_a_score_does_not_depend_on_what_is_scored_beside_it() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((50, 511)).astype(np.float16)
    query = rng.standard_normal(511)
    boxes = np.array([(10 * at, 0, 10, 10) for at in range(50)], np.int32)
    images = np.zeros(50, np.int32)

    def scored(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        scores = np.empty(len(rows), np.float32)
        halves = vectors[rows].view(np.uint16)
        rank(query, halves, SINGLES, rows, scores, 0, boxes, images, -np.inf, 4, True)
        return scores

    together = scored(np.arange(50))
    assert [scored(np.array([at]))[0] for at in range(50)] == together.tolist()
    np.testing.assert_allclose(together, vectors.astype(np.float64) @ query, rtol=1e-6)
