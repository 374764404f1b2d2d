"""Unscored choice: windows spread evenly over a picture whose saliency map says nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from patch_selection.windows import WindowArray


def spread_windows(windows: WindowArray, k: int | None) -> npt.NDArray[np.int64]:
    """Indices of at most `k` windows that cover the picture evenly; all of them if `k` is None.

    `windows` is (n, 3) int64 rows (x, y, side). Every side gets an equal share of `k`, the larger
    sides the remainder; what a side cannot use goes to the next. Within a side the first window is
    the one nearest to the middle, each further one the farthest from those taken (centre to
    centre); ties go to the earlier row.
    """
    count = len(windows)
    if k is None or k >= count:
        return np.arange(count, dtype=np.int64)
    sides = np.unique(windows[:, 2])
    taken: list[npt.NDArray[np.int64]] = []
    left = k
    # Sides with the fewest windows first, so that what they cannot use is known when it is shared.
    members = [np.flatnonzero(windows[:, 2] == side) for side in sides[::-1]]
    members.sort(key=len)
    for position, rows in enumerate(members):
        share = min(-(-left // (len(members) - position)), len(rows))
        taken.append(rows[_farthest_first(windows[rows], share)])
        left -= share
    return np.concatenate(taken)


def _farthest_first(windows: WindowArray, k: int) -> npt.NDArray[np.int64]:
    # Twice the centres, to stay in whole numbers.
    centres = 2 * windows[:, :2] + windows[:, 2:]
    middle = (centres.min(axis=0) + centres.max(axis=0)) // 2
    nearest = int(np.argmin(((centres - middle) ** 2).sum(axis=1)))
    chosen = [nearest] if k else []
    distance = ((centres - centres[nearest]) ** 2).sum(axis=1)
    while len(chosen) < k:
        farthest = int(np.argmax(distance))
        chosen.append(farthest)
        distance = np.minimum(distance, ((centres - centres[farthest]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.int64)
