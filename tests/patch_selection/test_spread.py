import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from patch_selection.spread import spread_windows
from patch_selection.windows import grid_windows


@given(
    width=st.integers(30, 300),
    height=st.integers(30, 300),
    k=st.integers(1, 40),
)
def test_takes_k_different_windows_of_all_sides(width: int, height: int, k: int) -> None:
    windows = grid_windows(width, height, [(30, 10), (15, 5)])
    rows = spread_windows(windows, k)
    assert len(rows) == min(k, len(windows))
    assert len(set(rows.tolist())) == len(rows)
    if k >= 2:
        assert set(windows[rows, 2].tolist()) == {15, 30}


def test_all_windows_where_there_is_no_k() -> None:
    windows = grid_windows(100, 100, [(20, 20)])
    assert spread_windows(windows, None).tolist() == list(range(25))


def test_windows_reach_all_quarters() -> None:
    windows = grid_windows(400, 200, [(20, 10)])
    taken = windows[spread_windows(windows, 9)]
    quarters = {(x + 10 >= 200, y + 10 >= 100) for x, y, _ in taken.tolist()}
    assert len(quarters) == 4
    # No two of the nine are close: 400 x 200 has room for nine that lie 80 pixels apart.
    gaps = np.linalg.norm(taken[:, None, :2] - taken[None, :, :2], axis=2)
    assert gaps[~np.eye(9, dtype=bool)].min() >= 80


def test_none_asked_none_taken() -> None:
    assert spread_windows(grid_windows(100, 100, [(20, 20)]), 0).size == 0
