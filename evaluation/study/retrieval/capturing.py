"""Which patches show which objects: the thesis's rule, for whole tables at once."""

from __future__ import annotations

from collections.abc import Collection as AnyCollection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.relevance import COVER, INSIDE
from evaluation.study.model import PatchTable, StudyDataset


@dataclass(frozen=True, eq=False)
class Objects:
    """All objects of a data set, numbered in the order of its photos.

    `photo (m,) int32`, `boxes (m, 4) int64` x, y, w, h, `category (m,) int32` index into the
    data set's categories (-1: none of them), `counted (m,) bool`.
    """

    photo: NDArray[np.int32]
    boxes: NDArray[np.int64]
    category: NDArray[np.int32]
    counted: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Captures:
    """The (patch, object) pairs in which the patch captures the object, ordered by patch.

    `rows (p,) int64` and `objects (p,) int64`: row of the table and number of the object.
    """

    rows: NDArray[np.int64]
    objects: NDArray[np.int64]

    def only(self, chosen: NDArray[np.bool_]) -> Captures:
        """The pairs whose object is chosen; `chosen` is (m,), one entry for each object."""
        these = chosen[self.objects]
        return Captures(self.rows[these], self.objects[these])


def dataset_objects(dataset: StudyDataset) -> Objects:
    """The objects of all photos as arrays."""
    number = {name: i for i, name in enumerate(dataset.categories)}
    photo, boxes, category, counted = [], [], [], []
    for i, one in enumerate(dataset.photos):
        for thing in one.objects:
            photo.append(i)
            boxes.append((thing.box.x, thing.box.y, thing.box.w, thing.box.h))
            category.append(number.get(thing.category, -1))
            counted.append(thing.counted)
    return Objects(
        np.array(photo, np.int32),
        np.array(boxes, np.int64).reshape(-1, 4),
        np.array(category, np.int32),
        np.array(counted, bool),
    )


def of_categories(
    dataset: StudyDataset, objects: Objects, categories: AnyCollection[str]
) -> NDArray[np.bool_]:
    """Which objects are of one of the categories: (m,) bool."""
    wanted = [i for i, name in enumerate(dataset.categories) if name in categories]
    return np.isin(objects.category, np.array(wanted, np.int32))


def captured_pairs(
    table: PatchTable, objects: Objects, *, inside: float = INSIDE, cover: float = COVER
) -> Captures:
    """Every pair that `relevance.captures` holds for, computed photo by photo with arrays."""
    rows, things = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for photo in np.intersect1d(table.photo, objects.photo).tolist():
        patch_rows = _run(table.photo, photo)
        thing_rows = _run(objects.photo, photo)
        patches = table.boxes[patch_rows].astype(np.int64)
        boxes = objects.boxes[thing_rows]
        shared = shared_pixels(patches, boxes)
        patch_area = (patches[:, 2] * patches[:, 3])[:, None]
        thing_area = (boxes[:, 2] * boxes[:, 3])[None, :]
        good = (shared >= inside * thing_area) & (shared >= cover * patch_area)
        good &= (patch_area > 0) & (thing_area > 0)
        one, other = np.nonzero(good)
        rows.append(patch_rows[one])
        things.append(thing_rows[other])
    return Captures(np.concatenate(rows), np.concatenate(things))


def shared_pixels(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pixels that box i of `one` (a, 4) and box j of `other` (b, 4) have in common: (a, b)."""
    left = np.maximum(one[:, None, 0], other[None, :, 0])
    top = np.maximum(one[:, None, 1], other[None, :, 1])
    right = np.minimum((one[:, 0] + one[:, 2])[:, None], (other[:, 0] + other[:, 2])[None, :])
    bottom = np.minimum((one[:, 1] + one[:, 3])[:, None], (other[:, 1] + other[:, 3])[None, :])
    shared: NDArray[np.int64] = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    return shared


def _run(sorted_values: NDArray[np.int32], value: int) -> NDArray[np.int64]:
    """Places of a value in an array that never descends."""
    begin, end = np.searchsorted(sorted_values, [value, value + 1])
    return np.arange(begin, end)
