import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from patch_selection.greedy import Decision, choose_windows, rank_windows, window_overlaps
from patch_selection.scoring import WindowScores, score_windows
from patch_selection.windows import grid_windows
from patchsearch.geometry import Box
from tests.patch_selection.naive_selection import naive_selection

share = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.0, 1.0))


@st.composite
def maps(draw: st.DrawFn) -> np.ndarray:
    """Random maps, many of them with few values and flat parts, where scores tie."""
    seed = draw(st.integers(0, 2**32 - 1))
    height, width = draw(st.integers(10, 64)), draw(st.integers(10, 64))
    values = draw(st.sampled_from([1, 2, 3, 256]))
    block = draw(st.sampled_from([1, 4, 10, 32]))
    coarse = np.random.default_rng(seed).integers(
        0, values, (-(-height // block), -(-width // block))
    )
    fine = coarse.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]
    return (fine * (255 // max(values - 1, 1))).astype(np.uint8)


@settings(max_examples=200, deadline=None)
@given(
    pixels=maps(),
    grids=st.lists(st.tuples(st.integers(10, 32), st.integers(4, 32)), min_size=1, max_size=3),
    min_average=share,
    k=st.one_of(st.none(), st.integers(1, 40)),
    max_overlap=share,
)
def test_choice_equals_the_algorithm_as_written(
    pixels: np.ndarray,
    grids: list[tuple[int, int]],
    min_average: float | None,
    k: int | None,
    max_overlap: float | None,
) -> None:
    grids = list(dict(grids).items())
    height, width = pixels.shape
    scores = score_windows(pixels, grid_windows(width, height, grids))
    choice = choose_windows(scores, min_average, k, max_overlap)
    got = [
        (Box(x, y, side, side), score)
        for (x, y, side), score in zip(
            scores.windows[choice.kept].tolist(),
            scores.inner_difference[choice.kept].tolist(),
            strict=True,
        )
    ]
    assert got == naive_selection(pixels, grids, min_average, k, max_overlap)


@settings(max_examples=100, deadline=None)
@given(pixels=maps(), min_average=share, k=st.integers(1, 10), max_overlap=st.floats(0.0, 0.99))
def test_every_decision_has_its_reason(
    pixels: np.ndarray, min_average: float | None, k: int, max_overlap: float
) -> None:
    height, width = pixels.shape
    scores = score_windows(pixels, grid_windows(width, height, [(20, 5), (10, 5)]))
    choice = choose_windows(scores, min_average, k, max_overlap)
    position = {int(row): place for place, row in enumerate(rank_windows(scores))}
    kept = choice.kept.tolist()
    assert set(np.flatnonzero(choice.decision == Decision.KEPT)) == set(kept)
    boxes = [Box(x, y, side, side) for x, y, side in scores.windows.tolist()]
    for row, decision in enumerate(choice.decision.tolist()):
        below = min_average is not None and scores.average[row] < min_average
        assert (decision == Decision.BELOW_AVERAGE) == below
        if below:
            continue
        if choice.rival[row] >= 0:
            rival = int(choice.rival[row])
            assert rival in kept
            assert position[rival] < position[row]
            assert choice.overlap[row] == boxes[row].overlap(boxes[rival])
        assert (decision == Decision.OVERLAPPED) == (choice.overlap[row] > max_overlap)
        if decision == Decision.BEYOND_K:
            assert len(kept) == k
            assert position[row] > position[kept[-1]]


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(10, 40)),
        min_size=2,
        max_size=8,
    )
)
def test_overlap_is_that_of_boxes(rows: list[tuple[int, int, int]]) -> None:
    windows = np.array(rows)
    boxes = [Box(x, y, side, side) for x, y, side in rows]
    assert window_overlaps(windows[0], windows).tolist() == [boxes[0].overlap(b) for b in boxes]


def test_ties_go_to_the_larger_then_the_upper_then_the_left() -> None:
    windows = np.array([[5, 5, 10], [0, 5, 10], [5, 0, 10], [40, 40, 20]])
    flat = np.zeros(4)
    assert rank_windows(WindowScores(windows, flat, flat)).tolist() == [3, 2, 1, 0]


def test_taken_windows_are_left_out_and_bar_no_others() -> None:
    windows = np.array([[0, 0, 10], [1, 0, 10], [30, 0, 10]])
    scores = WindowScores(windows, np.ones(3), np.array([0.9, 0.8, 0.7]))
    choice = choose_windows(scores, None, 2, 0.25, taken=np.array([[0, 0, 10], [-7, 3, 10]]))
    assert choice.kept.tolist() == [1, 2]
    assert choice.decision.tolist() == [Decision.TAKEN, Decision.KEPT, Decision.KEPT]


def test_no_windows_give_no_choice() -> None:
    nothing = np.empty(0)
    scores = WindowScores(np.empty((0, 3), dtype=np.int64), nothing, nothing)
    assert choose_windows(scores, 0.05, 5, 0.25).kept.size == 0
