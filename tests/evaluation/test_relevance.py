"""The rule that says what a find is, and precision over finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.relevance import (
    captures,
    captures_any,
    mean_vector,
    precision_at,
    without_overlaps,
)
from patchsearch.geometry import Box

PATCH = Box(0, 0, 100, 100)

boxes = st.builds(
    Box, st.integers(0, 90), st.integers(0, 90), st.integers(1, 60), st.integers(1, 60)
)


def test_half_of_the_object_inside_is_enough() -> None:
    assert captures(PATCH, Box(80, 0, 40, 60))
    assert not captures(PATCH, Box(81, 0, 40, 60))


def test_a_twentieth_of_the_patch_covered_is_enough() -> None:
    assert captures(PATCH, Box(10, 10, 25, 20))
    assert not captures(PATCH, Box(10, 10, 25, 19))


def test_only_what_lies_in_the_patch_counts_as_cover() -> None:
    assert not captures(PATCH, Box(92, 0, 16, 60))


def test_an_object_larger_than_the_patch_must_be_half_inside() -> None:
    assert captures(PATCH, Box(0, 0, 200, 100))
    assert not captures(PATCH, Box(-100, -100, 300, 300))


def test_empty_boxes_are_never_captured() -> None:
    assert not captures(PATCH, Box(5, 5, 0, 10))
    assert not captures(Box(0, 0, 0, 0), Box(0, 0, 10, 10))


def test_any_object_will_do() -> None:
    assert captures_any(PATCH, [Box(500, 0, 50, 50), Box(0, 0, 50, 50)])
    assert not captures_any(PATCH, [])


def test_the_better_of_two_overlapping_patches_stays() -> None:
    rows = [Box(0, 0, 10, 10), Box(9, 9, 10, 10), Box(10, 0, 10, 10), Box(0, 0, 10, 10)]
    assert without_overlaps([0.5, 0.9, 0.4, 0.1], ["a", "a", "a", "b"], rows) == [1, 3]
    assert without_overlaps([0.9, 0.5, 0.4, 0.1], ["a", "a", "a", "b"], rows) == [0, 2, 3]
    assert without_overlaps([0.9, 0.5, 0.4, 0.1], ["a", "a", "a", "b"], rows, k=1) == [0]


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one score, image and box per row"):
        without_overlaps([0.5], ["a", "b"], [PATCH])


@given(st.lists(st.tuples(st.integers(0, 2), boxes, st.floats(-1, 1)), max_size=20))
def test_kept_patches_are_disjoint_sorted_and_maximal(rows: list[tuple[int, Box, float]]) -> None:
    images, places, scores = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    kept = without_overlaps(scores, images, places)
    assert [scores[i] for i in kept] == sorted((scores[i] for i in kept), reverse=True)
    for i in range(len(rows)):
        rivals = [
            j
            for j in kept
            if j != i and images[j] == images[i] and places[j].intersection(places[i])
        ]
        if i in kept:
            assert not rivals
        else:
            assert any(scores[j] >= scores[i] for j in rivals)


def test_precision_counts_after_removing_overlaps() -> None:
    places = [Box(0, 0, 10, 10), Box(1, 1, 10, 10), Box(0, 0, 10, 10), Box(50, 0, 10, 10)]
    found = [True, True, False, True]
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert precision_at(2, scores, ["a", "a", "b", "a"], places, found) == 0.5
    assert precision_at(3, scores, ["a", "a", "b", "a"], places, found) == pytest.approx(2 / 3)


def test_missing_results_count_against_precision() -> None:
    assert precision_at(4, [1.0], ["a"], [PATCH], [True]) == 0.25
    with pytest.raises(ValueError, match="at least 1"):
        precision_at(0, [1.0], ["a"], [PATCH], [True])


def test_the_mean_query_is_a_unit_vector() -> None:
    assert mean_vector([[1, 0], [0, 1]]) == pytest.approx([0.5**0.5, 0.5**0.5])
