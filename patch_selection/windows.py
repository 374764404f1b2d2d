"""Strided square windows over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from patchsearch.errors import InvalidArgument

WindowArray: TypeAlias = npt.NDArray[np.int64]
"""(n, 3) int64: one row (x, y, side) for every window, in pixels of the picture it lies in."""

MIN_WINDOW_SIDE = 10
"""The smallest window side in pixels: below it the 10 % margin of eq. 3.2 is less than a pixel."""


def window_offsets(extent: int, side: int, stride: int) -> npt.NDArray[np.int64]:
    """Where the windows of one row (or column) start, along an axis of `extent` pixels.

    Multiples of `stride` as long as a window fits, then one more window that ends at the far edge
    if the last of them does not: every pixel lies in a window, and no window is cut. Ascending,
    without repeats; empty if `side` is more than `extent`.
    """
    if side > extent:
        return np.empty(0, dtype=np.int64)
    offsets = np.arange(0, extent - side + 1, stride, dtype=np.int64)
    if offsets[-1] != extent - side:
        offsets = np.append(offsets, extent - side)
    return offsets


def grid_windows(width: int, height: int, grids: Sequence[tuple[int, int]]) -> WindowArray:
    """All strided windows of a picture of `width` x `height` pixels.

    `grids` holds (side, stride) in pixels. The rows, (n, 3) int64 of (x, y, side), are ordered by
    the position in `grids`, then by y, then by x. A side that does not fit in the picture gives no
    windows, so the result may be empty. Raises `InvalidArgument` (WINDOW_INVALID) for a side below
    `MIN_WINDOW_SIDE`, a stride below 1, or a picture without pixels.
    """
    if width < 1 or height < 1:
        raise InvalidArgument(
            "WINDOW_INVALID", f"the picture is {width}x{height} px; both sides must be 1 or more"
        )
    parts = [np.empty((0, 3), dtype=np.int64)]
    for side, stride in grids:
        if side < MIN_WINDOW_SIDE or stride < 1:
            raise InvalidArgument(
                "WINDOW_INVALID",
                f"window side {side} px with stride {stride} px; "
                f"the side must be {MIN_WINDOW_SIDE} or more, the stride 1 or more",
            )
        columns = window_offsets(width, side, stride)
        rows = window_offsets(height, side, stride)
        part = np.empty((rows.size * columns.size, 3), dtype=np.int64)
        part[:, 0] = np.tile(columns, rows.size)
        part[:, 1] = np.repeat(rows, columns.size)
        part[:, 2] = side
        parts.append(part)
    return np.concatenate(parts)
