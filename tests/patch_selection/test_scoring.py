import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from patch_selection.scoring import fit_map, quantise, score_windows
from patch_selection.windows import grid_windows
from patchsearch.errors import InvalidArgument
from tests.patch_selection.naive_selection import naive_average, naive_boxes, naive_inner_difference


@settings(max_examples=60, deadline=None)
@given(
    pixels=arrays.arrays(
        np.uint8, st.tuples(st.integers(10, 48), st.integers(10, 48)), elements=st.integers(0, 255)
    ),
    grids=st.lists(st.tuples(st.integers(10, 40), st.integers(3, 30)), min_size=1, max_size=3),
)
def test_scores_equal_summing_every_window_by_itself(
    pixels: np.ndarray, grids: list[tuple[int, int]]
) -> None:
    height, width = pixels.shape
    scores = score_windows(pixels, grid_windows(width, height, grids))
    boxes = naive_boxes(width, height, grids)
    assert [(x, y, side) for x, y, side in scores.windows.tolist()] == [
        (box.x, box.y, box.w) for box in boxes
    ]
    assert scores.average.tolist() == [naive_average(pixels, box) for box in boxes]
    assert scores.inner_difference.tolist() == [naive_inner_difference(pixels, b) for b in boxes]


def test_a_light_middle_scores_one_and_a_dark_one_minus_one() -> None:
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[2:18, 2:18] = 255
    window = np.array([[0, 0, 20]])
    assert score_windows(pixels, window).inner_difference.tolist() == [1.0]
    assert score_windows(255 - pixels, window).inner_difference.tolist() == [-1.0]
    assert score_windows(pixels, window).average.tolist() == [16 * 16 / 400]


def test_sums_stay_exact_where_32_bits_no_longer_hold_them() -> None:
    # 255 x 3000 x 3000 is more than 2^31.
    pixels = np.full((3000, 3000), 255, dtype=np.uint8)
    pixels[-1, -1] = 254
    scores = score_windows(pixels, np.array([[0, 0, 3000], [2990, 2990, 10], [0, 0, 10]]))
    assert scores.average.tolist() == [
        (255 * 9_000_000 - 1) / (255 * 9_000_000),
        (255 * 100 - 1) / (255 * 100),
        1.0,
    ]


def test_quantise_clips_and_takes_nan_for_nothing() -> None:
    saliency = np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, np.nan]], dtype=np.float32)
    assert quantise(saliency).tolist() == [[0, 0, 128], [255, 255, 0]]


def test_map_is_stretched_to_the_picture() -> None:
    pixels = np.array([[0, 255]], dtype=np.uint8)
    stretched = fit_map(pixels, width=100, height=50)
    assert stretched.shape == (50, 100)
    assert stretched[:, 0].max() == 0
    assert stretched[:, -1].min() == 255
    assert (np.diff(stretched.astype(int), axis=1) >= 0).all()
    assert fit_map(pixels, width=2, height=1) is pixels


def test_threads_do_not_change_the_sums() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (700, 900), dtype=np.uint8)
    windows = grid_windows(900, 700, [(200, 33), (64, 16)])
    threads = cv2.getNumThreads()
    results = []
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            results.append(score_windows(pixels, windows).inner_difference)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize(
    "window", [[-1, 0, 20], [0, -1, 20], [31, 0, 20], [0, 11, 20], [0, 0, 9], [0, 0, 20_000]]
)
def test_refuses_windows_outside_the_map(window: list[int]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        score_windows(np.zeros((30, 50), dtype=np.uint8), np.array([window]))
    assert raised.value.reason == "WINDOW_INVALID"


def test_refuses_maps_and_windows_of_another_kind() -> None:
    with pytest.raises(InvalidArgument) as raised:
        score_windows(np.zeros((30, 50), dtype=np.float32), np.array([[0, 0, 20]]))  # type: ignore[arg-type]
    assert raised.value.reason == "MAP_INVALID"
    with pytest.raises(InvalidArgument) as raised:
        score_windows(np.zeros((30, 50), dtype=np.uint8), np.array([0, 0, 20]))
    assert raised.value.reason == "WINDOW_INVALID"
