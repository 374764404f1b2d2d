"""When a retrieved patch counts as a find, and precision at k over finds (thesis chapter 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchsearch.geometry import Box

INSIDE = 0.5
"""Least share of the object that must lie in the patch (thesis section 4.2)."""

COVER = 0.05
"""Least share of the patch that the object must cover (thesis section 4.2)."""


def captures(patch: Box, obj: Box, *, inside: float = INSIDE, cover: float = COVER) -> bool:
    """Whether `patch` shows `obj` well: it holds at least `inside` of the object's area, and what
    it holds covers at least `cover` of the patch (thesis section 4.2, figure 4.2). Empty boxes
    never do."""
    if patch.area <= 0 or obj.area <= 0:
        return False
    shared = patch.intersection(obj)
    return shared >= inside * obj.area and shared >= cover * patch.area


def captures_any(patch: Box, objects: Sequence[Box]) -> bool:
    """Whether `patch` captures at least one of `objects`, all of the same image."""
    return any(captures(patch, obj) for obj in objects)


def without_overlaps(
    scores: ArrayLike,
    image_ids: Sequence[object],
    boxes: Sequence[Box],
    *,
    k: int | None = None,
) -> list[int]:
    """Rows in falling order of score, leaving out each that shares any pixel with a better one of
    the same image; at most `k` of them. Equal scores are ordered by row.

    `scores` is `(n,)`; `image_ids` and `boxes` hold one entry per row. Raises ValueError where the
    lengths differ.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values) == len(image_ids) == len(boxes):
        raise ValueError(
            f"one score, image and box per row: {values.shape}, {len(image_ids)}, {len(boxes)}"
        )
    kept: list[int] = []
    taken: dict[object, list[Box]] = {}
    for row in np.argsort(-values, kind="stable").tolist():
        if k is not None and len(kept) >= k:
            break
        better = taken.setdefault(image_ids[row], [])
        if all(boxes[row].intersection(box) == 0 for box in better):
            better.append(boxes[row])
            kept.append(row)
    return kept


def precision_at(
    k: int,
    scores: ArrayLike,
    image_ids: Sequence[object],
    boxes: Sequence[Box],
    relevant: ArrayLike,
) -> float:
    """Share of relevant patches among the best `k` without overlaps (thesis eq. 2.3, section 4.3).

    `relevant` is `(n,)` bool. The divisor is `k`, also where fewer patches are left, so a
    collection with fewer than `k` finds cannot reach 1. Raises ValueError for `k` below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    truth: NDArray[np.bool_] = np.asarray(relevant, dtype=bool)
    best = without_overlaps(scores, image_ids, boxes, k=k)
    return float(truth[best].sum()) / k


def mean_vector(vectors: ArrayLike) -> NDArray[np.float32]:
    """The unit vector along the mean of unit rows `(n, d)`: the averaged query, thesis eq. 4.1."""
    mean = np.asarray(vectors, dtype=np.float64).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)
