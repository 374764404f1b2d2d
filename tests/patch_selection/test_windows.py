import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patch_selection.windows import grid_windows, window_offsets
from patchsearch.errors import InvalidArgument


def test_last_window_is_aligned_to_the_far_edge() -> None:
    assert window_offsets(100, 40, 25).tolist() == [0, 25, 50, 60]
    assert window_offsets(90, 40, 25).tolist() == [0, 25, 50]
    assert window_offsets(40, 40, 25).tolist() == [0]
    assert window_offsets(39, 40, 25).tolist() == []


@given(
    width=st.integers(10, 120),
    height=st.integers(10, 120),
    side=st.integers(10, 60),
    part=st.floats(0.05, 1.0),
)
def test_windows_lie_inside_and_reach_every_pixel(
    width: int, height: int, side: int, part: float
) -> None:
    stride = max(1, int(side * part))
    windows = grid_windows(width, height, [(side, stride)])
    seen = np.zeros((height, width), dtype=bool)
    for x, y, s in windows.tolist():
        assert x >= 0
        assert y >= 0
        assert x + s <= width
        assert y + s <= height
        seen[y : y + s, x : x + s] = True
    assert seen.all() == (side <= min(width, height))
    assert len(np.unique(windows, axis=0)) == len(windows)


def test_rows_go_by_grid_then_y_then_x() -> None:
    windows = grid_windows(30, 20, [(20, 10), (10, 10)])
    assert windows.tolist() == [
        [0, 0, 20],
        [10, 0, 20],
        [0, 0, 10],
        [10, 0, 10],
        [20, 0, 10],
        [0, 10, 10],
        [10, 10, 10],
        [20, 10, 10],
    ]


@pytest.mark.parametrize(
    ("width", "height", "grid"), [(0, 10, (10, 5)), (50, 50, (9, 5)), (50, 50, (10, 0))]
)
def test_refuses_what_makes_no_windows(width: int, height: int, grid: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        grid_windows(width, height, [grid])
    assert raised.value.reason == "WINDOW_INVALID"
