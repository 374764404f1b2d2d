"""The thesis's algorithm written as it reads, one window at a time: what the tests compare with."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from patchsearch.geometry import Box


def naive_boxes(width: int, height: int, grids: list[tuple[int, int]]) -> list[Box]:
    """All windows: strided from the top left, with one more at the far edges."""
    boxes = []
    for side, stride in grids:
        for y in _starts(height, side, stride):
            for x in _starts(width, side, stride):
                boxes.append(Box(x, y, side, side))
    return boxes


def _starts(extent: int, side: int, stride: int) -> list[int]:
    starts = [start for start in range(0, extent, stride) if start + side <= extent]
    if starts and starts[-1] + side < extent:
        starts.append(extent - side)
    return starts


def naive_average(pixels: npt.NDArray[np.uint8], box: Box) -> float:
    """Eq. 3.1."""
    total = sum(int(p) for p in pixels[box.y : box.bottom, box.x : box.right].ravel())
    return total / (255 * box.area)


def naive_inner_difference(pixels: npt.NDArray[np.uint8], box: Box) -> float:
    """Eq. 3.2 as one exact fraction, rounded once."""
    margin = box.w // 10
    window = pixels[box.y : box.bottom, box.x : box.right]
    inside = window[margin : box.h - margin, margin : box.w - margin]
    inner = sum(int(p) for p in inside.ravel())
    rim = sum(int(p) for p in window.ravel()) - inner
    inner_area, rim_area = inside.size, box.area - inside.size
    return (inner * rim_area - rim * inner_area) / (255 * inner_area * rim_area)


def naive_selection(
    pixels: npt.NDArray[np.uint8],
    grids: list[tuple[int, int]],
    min_average: float | None,
    k: int | None,
    max_overlap: float | None,
    taken: Collection[Box] = (),
) -> list[tuple[Box, float]]:
    """Boxes and their S_id, best first; without those that are `taken` already."""
    height, width = pixels.shape
    candidates = []
    for box in naive_boxes(width, height, grids):
        if box in taken:
            continue
        if min_average is None or naive_average(pixels, box) >= min_average:
            candidates.append((box, naive_inner_difference(pixels, box)))
    candidates.sort(key=lambda found: (-found[1], -found[0].w, found[0].y, found[0].x))
    kept: list[tuple[Box, float]] = []
    for box, score in candidates:
        if k is not None and len(kept) == k:
            break
        if max_overlap is None or all(box.overlap(other) <= max_overlap for other, _ in kept):
            kept.append((box, score))
    return kept
