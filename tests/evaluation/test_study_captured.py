"""Table 4.2's figures equal those of the rule applied pair by pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.relevance import captures
from evaluation.study.captured import (
    WHOLE_IMAGE,
    Captured,
    captured,
    counted_objects,
    first_capture,
    random_windows,
    table_row,
    whole_photos,
)
from evaluation.study.model import StudyDataset, StudyObject, StudyPhoto
from patchsearch.geometry import Box

rows = st.lists(
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(0, 60), st.integers(0, 60)),
    max_size=8,
)


@settings(deadline=None)
@given(rows, rows)
def test_the_first_patch_that_captures_an_object_is_found(
    patches: list[tuple[int, int, int, int]], things: list[tuple[int, int, int, int]]
) -> None:
    found = first_capture(
        np.array(patches, np.int32).reshape(-1, 4), np.array(things, np.int64).reshape(-1, 4)
    )
    for thing, rank in zip(things, found.tolist(), strict=True):
        good = [i for i, patch in enumerate(patches) if captures(Box(*patch), Box(*thing))]
        assert rank == (good[0] if good else Captured.NEVER)


def dataset() -> StudyDataset:
    def photo(name: str, *objects: tuple[str, Box, bool]) -> StudyPhoto:
        return StudyPhoto(name, Path(name), 400, 200, tuple(StudyObject(*one) for one in objects))

    return StudyDataset(
        "d",
        (
            photo("a", ("moose", Box(0, 0, 100, 100), True), ("car", Box(300, 0, 50, 50), True)),
            photo("b", ("moose", Box(200, 100, 40, 40), True), ("car", Box(0, 0, 9, 9), False)),
            photo("c"),
        ),
        ("car", "moose", "bus"),
        {},
        groups={"vehicle": ("car", "bus"), "nothing": ("bus",)},
    )


def boxes(*some: tuple[int, int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(some, np.int32).reshape(-1, 4)


PATCHES = [
    boxes((250, 50, 50, 50), (290, 0, 80, 80), (0, 0, 200, 200)),
    boxes((0, 0, 200, 200), (190, 90, 60, 60)),
    boxes((0, 0, 200, 200)),
]


def test_a_row_has_shares_by_class_and_group() -> None:
    objects = counted_objects(dataset())
    assert len(objects) == 3
    row = table_row(objects, [captured(objects, PATCHES)], "mine")
    assert row == {
        "selector": "mine",
        "control": False,
        "like": None,
        "patches_per_image": 2.0,
        "captured": {"car": 1.0, "moose": 1.0},
        "captured_groups": {"vehicle": 1.0},
        "objects": {"car": 1, "moose": 2},
        "mean": 1.0,
        "mean_over_classes": 1.0,
    }


def test_fewer_patches_capture_less() -> None:
    objects = counted_objects(dataset())
    found = captured(objects, PATCHES)
    assert found.rank.tolist() == [2, 1, 1]
    assert found.within(1) == (1.0, 0.0)
    assert found.within(2) == (pytest.approx(5 / 3), pytest.approx(2 / 3))
    assert found.within(3) == (2.0, 1.0)
    assert found.within(Captured.NEVER) == (2.0, 1.0)


def test_the_whole_photo_captures_only_what_is_large_in_it() -> None:
    objects = counted_objects(dataset())
    row = table_row(objects, [captured(objects, whole_photos(dataset()))], WHOLE_IMAGE)
    assert (row["control"], row["patches_per_image"]) == (True, 1.0)
    assert row["captured"] == {"car": 0.0, "moose": 0.5}
    assert row["mean"] == pytest.approx(1 / 3)


def test_random_windows_are_as_many_as_large_and_anywhere() -> None:
    rng = np.random.default_rng(1)
    like = [boxes((0, 0, 400, 200), (0, 0, 100, 100)), boxes((5, 5, 399, 10)), boxes()]
    corners = set()
    for _ in range(300):
        drawn = random_windows(dataset(), like, rng)
        for photo, one, other in zip(dataset().photos, drawn, like, strict=True):
            assert np.array_equal(one[:, 2:], other[:, 2:])
            assert all(Box(*row).inside(photo.width, photo.height) for row in one.tolist())
        assert drawn[0][0].tolist() == [0, 0, 400, 200]
        corners.add(drawn[1][0, 0].item())
    assert corners == {0, 1}


def test_draws_are_averaged() -> None:
    objects = counted_objects(dataset())
    nothing = captured(objects, [boxes(), boxes(), boxes()])
    row = table_row(objects, [captured(objects, PATCHES), nothing], "both", "mine")
    assert (row["control"], row["like"]) == (True, "mine")
    assert (row["mean"], row["patches_per_image"], row["captured"]["car"]) == (0.5, 1.0, 0.5)


def test_a_data_set_without_counted_objects_has_no_mean() -> None:
    empty = StudyDataset("e", (StudyPhoto("a", Path("a"), 40, 40, ()),), ("car",), {})
    objects = counted_objects(empty)
    row = table_row(objects, [captured(objects, [boxes((0, 0, 9, 9))])], "mine")
    assert (row["captured"], row["mean"], row["mean_over_classes"]) == ({}, None, None)
    assert captured(objects, [boxes()]).within(5) == (0.0, 0.0)
