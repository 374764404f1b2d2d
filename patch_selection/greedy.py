"""Greedy choice of windows: highest score first, as long as they do not overlap too much."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from patch_selection.scoring import WindowScores
from patch_selection.windows import WindowArray


class Decision(IntEnum):
    """What became of a window."""

    KEPT = 0
    """It is a patch."""
    BELOW_AVERAGE = 1
    """Its S_apv is below the threshold."""
    OVERLAPPED = 2
    """It shares more than the limit with a window that was kept before."""
    BEYOND_K = 3
    """k windows of higher rank were kept."""
    TAKEN = 4
    """It is a patch already, chosen in another region that overlaps this one."""


@dataclass(frozen=True, slots=True)
class WindowChoice:
    """The fate of every window of one region, with what is needed to explain it.

    `scores`: the n windows and their scores. `decision` (n,) uint8 of `Decision`. `kept` (m,)
    int64: indices of the kept windows, best first. `overlap` (n,) float64, 0..1: the largest
    overlap of a window with the windows kept before it was decided on. `rival` (n,) int64: the
    index of the window with that overlap. They are 0 and -1 where there is none, where the window
    was not looked at (BELOW_AVERAGE, TAKEN), and everywhere without an overlap limit. The arrays
    are not to be written to.
    """

    scores: WindowScores
    decision: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.float64]
    rival: npt.NDArray[np.int64]


def rank_windows(scores: WindowScores) -> npt.NDArray[np.int64]:
    """Indices of all windows, best first: S_id descending, then side descending, then y, then x.

    A total order for windows that differ, so that the choice does not hang on the sort algorithm.
    """
    x, y, side = scores.windows.T
    return np.lexsort((x, y, -side, -scores.inner_difference))


def choose_windows(
    scores: WindowScores,
    min_average: float | None,
    k: int | None,
    max_overlap: float | None,
    taken: WindowArray | None = None,
) -> WindowChoice:
    """The thesis's algorithm 2 over scored windows.

    Windows with S_apv < `min_average` are dropped. The rest are visited in the order of
    `rank_windows`; one is kept if its overlap (shared area / area of the larger) with every kept
    one is at most `max_overlap`, until `k` are kept. None switches a rule off. Windows that
    equal a row of `taken` (m, 3) are left out from the start, and bar no others. The work is one
    pass over the windows per kept window.
    """
    count = len(scores)
    decision = np.full(count, Decision.BEYOND_K, dtype=np.uint8)
    overlap = np.zeros(count, dtype=np.float64)
    rival = np.full(count, -1, dtype=np.int64)
    order = rank_windows(scores)
    if min_average is not None:
        below = scores.average < min_average
        decision[below] = Decision.BELOW_AVERAGE
        order = order[~below[order]]
    if taken is not None and len(taken):
        again = equal_rows(scores.windows, taken)
        decision[again] = Decision.TAKEN
        order = order[~again[order]]
    limit = order.size if k is None else min(k, order.size)
    if max_overlap is None or max_overlap >= 1.0:
        kept = order[:limit]
        decision[kept] = Decision.KEPT
        return WindowChoice(scores, decision, kept, overlap, rival)
    chosen: list[int] = []
    waiting = order
    while waiting.size and len(chosen) < limit:
        best, waiting = int(waiting[0]), waiting[1:]
        decision[best] = Decision.KEPT
        chosen.append(best)
        shared = window_overlaps(scores.windows[best], scores.windows[waiting])
        closer = shared > overlap[waiting]
        overlap[waiting[closer]] = shared[closer]
        rival[waiting[closer]] = best
        too_close = shared > max_overlap
        decision[waiting[too_close]] = Decision.OVERLAPPED
        waiting = waiting[~too_close]
    return WindowChoice(scores, decision, np.array(chosen, dtype=np.int64), overlap, rival)


def equal_rows(windows: WindowArray, taken: WindowArray) -> npt.NDArray[np.bool_]:
    """Which of the n windows equal one of the `taken` ones: (n,) bool."""
    return np.asarray((windows[:, None, :] == taken[None, :, :]).all(axis=2).any(axis=1))


def window_overlaps(window: npt.NDArray[np.int64], others: WindowArray) -> npt.NDArray[np.float64]:
    """Overlap of one window (x, y, side) with each of `others` (n, 3): (n,) float64 in 0..1.

    The same numbers as `Box.overlap`: shared area / area of the larger.
    """
    x, y, side = (int(value) for value in window)
    other_x, other_y, other_side = others.T
    width = np.minimum(x + side, other_x + other_side) - np.maximum(x, other_x)
    height = np.minimum(y + side, other_y + other_side) - np.maximum(y, other_y)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    larger = np.maximum(side, other_side)
    return np.asarray(shared / (larger * larger), dtype=np.float64)
