"""Scores of windows on a saliency map, all from one integral image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from patch_selection.windows import MIN_WINDOW_SIDE, WindowArray
from patchsearch.errors import InvalidArgument

SaliencyBytes: TypeAlias = npt.NDArray[np.uint8]
"""(height, width) uint8: a saliency map in the thesis's pixel values, 0 dull to 255 salient."""

_INT32_LIMIT = 2**31 - 1
_MAX_MAP_PIXELS = 2**31
_MAX_WINDOW_SIDE = 16_384


@dataclass(frozen=True, slots=True)
class WindowScores:
    """Windows with their two scores.

    `windows` (n, 3) int64 rows (x, y, side); `average` (n,) float64, S_apv of eq. 3.1, 0..1;
    `inner_difference` (n,) float64, S_id of eq. 3.2, -1..1. The arrays are not to be written to.
    """

    windows: WindowArray
    average: npt.NDArray[np.float64]
    inner_difference: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.windows)


def quantise(saliency: npt.NDArray[np.float32]) -> SaliencyBytes:
    """A float map in 0..1 as bytes: clipped, times 255, rounded half to even; NaN becomes 0."""
    clean = np.nan_to_num(saliency, nan=0.0, posinf=1.0, neginf=0.0)
    pixels: SaliencyBytes = np.rint(np.clip(clean, 0.0, 1.0) * 255.0).astype(np.uint8)
    return pixels


def fit_map(saliency: SaliencyBytes, width: int, height: int) -> SaliencyBytes:
    """The map stretched to the size of its picture, (height, width) uint8.

    Windows are scored in the picture's pixels, so that a window's score has one meaning whatever
    the resolution of the model behind the map. Bilinear, by the fixed-point variant that gives the
    same bytes on every processor.
    """
    if saliency.shape == (height, width):
        return saliency
    stretched = cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(stretched, dtype=np.uint8)


def score_windows(saliency: SaliencyBytes, windows: WindowArray) -> WindowScores:
    """S_apv and S_id (eq. 3.1 and 3.2) of every window.

    `saliency` is (height, width) uint8 and `windows` (n, 3) int64 rows (x, y, side) inside it. With
    I and O the sums over the inner square (a margin of `side // 10` pixels on each side) and over
    the rim around it, A_in and A_out their areas, and A = A_in + A_out:

        S_apv = (I + O) / (255 A)        S_id = (I A_out - O A_in) / (255 A_in A_out)

    Numerators and denominators are exact integers and each score is one float64 division, so that
    the scores are those of summing every window by itself, bit for bit. Time grows with pixels +
    windows. Raises `InvalidArgument`: MAP_INVALID for another shape or type,
    WINDOW_INVALID for a window outside the map or with a side not in 10..16384.
    """
    if saliency.ndim != 2 or saliency.dtype != np.uint8 or saliency.size > _MAX_MAP_PIXELS:
        raise InvalidArgument(
            "MAP_INVALID",
            f"the saliency map is {saliency.dtype} of shape {saliency.shape}; it must be uint8 of "
            f"shape (height, width) with at most {_MAX_MAP_PIXELS} pixels",
        )
    _check_windows(windows, width=saliency.shape[1], height=saliency.shape[0])
    if not len(windows):
        nothing = np.empty(0, dtype=np.float64)
        return WindowScores(windows, nothing, nothing)
    table = _integral(saliency)
    x, y, side = windows[:, 0], windows[:, 1], windows[:, 2]
    margin = side // 10
    inner_side = side - 2 * margin
    total = _square_sums(table, x, y, side)
    inner = _square_sums(table, x + margin, y + margin, inner_side)
    area = side * side
    inner_area = inner_side * inner_side
    rim_area = area - inner_area
    return WindowScores(
        windows,
        average=total / (255 * area),
        inner_difference=(inner * rim_area - (total - inner) * inner_area)
        / (255 * inner_area * rim_area),
    )


def _check_windows(windows: WindowArray, width: int, height: int) -> None:
    if windows.ndim != 2 or windows.shape[1] != 3 or windows.dtype != np.int64:
        raise InvalidArgument(
            "WINDOW_INVALID",
            f"windows are {windows.dtype} of shape {windows.shape}; they must be int64 of shape "
            "(n, 3) with rows (x, y, side)",
        )
    if not len(windows):
        return
    x, y, side = windows[:, 0], windows[:, 1], windows[:, 2]
    if side.min() < MIN_WINDOW_SIDE or side.max() > _MAX_WINDOW_SIDE:
        raise InvalidArgument(
            "WINDOW_INVALID",
            f"window sides span {side.min()}..{side.max()} px; "
            f"they must lie in {MIN_WINDOW_SIDE}..{_MAX_WINDOW_SIDE}",
        )
    outside = (x < 0) | (y < 0) | (x + side > width) | (y + side > height)
    if outside.any():
        worst = windows[int(np.argmax(outside))]
        raise InvalidArgument(
            "WINDOW_INVALID",
            f"window x={worst[0]} y={worst[1]} side={worst[2]} leaves the map of "
            f"{width}x{height} px; windows must lie wholly inside",
        )


def _integral(saliency: SaliencyBytes) -> npt.NDArray[np.int32] | npt.NDArray[np.float64]:
    # The largest entry is 255 x pixels: int32 where that fits (a 3848 x 2168 map just does), and
    # float64, whose integers are exact up to 2^53, beyond.
    if 255 * saliency.size <= _INT32_LIMIT:
        return np.asarray(cv2.integral(saliency, sdepth=cv2.CV_32S), dtype=np.int32)
    return np.asarray(cv2.integral(saliency, sdepth=cv2.CV_64F), dtype=np.float64)


def _square_sums(
    table: npt.NDArray[np.int32] | npt.NDArray[np.float64],
    x: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
    side: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    columns = table.shape[1]
    flat = table.reshape(-1)
    top = y * columns + x
    bottom = (y + side) * columns + x
    corners = [
        flat.take(index).astype(np.int64) for index in (top, top + side, bottom, bottom + side)
    ]
    sums: npt.NDArray[np.int64] = corners[3] - corners[2] - corners[1] + corners[0]
    return sums
