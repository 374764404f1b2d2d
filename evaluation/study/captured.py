"""Table 4.2: which objects the chosen patches capture, and how many patches that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.relevance import COVER, INSIDE
from evaluation.study.model import StudyDataset
from evaluation.study.retrieval.capturing import shared_pixels

WHOLE_IMAGE = "whole-image"
UNIFORM_RANDOM = "uniform-random"

Boxes = NDArray[np.int32]
"""(n, 4) int32 x, y, w, h: the patches of one photo, best first."""


@dataclass(frozen=True, eq=False)
class CountedObjects:
    """The objects that figures speak of.

    `boxes`: of each photo, (m, 4) int64. `category (M,) int64`: index into the data set's
    categories, of all of them in order.
    """

    dataset: StudyDataset
    boxes: tuple[NDArray[np.int64], ...]
    category: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.category)


def counted_objects(dataset: StudyDataset) -> CountedObjects:
    """The counted objects of a data set, photo by photo."""
    number = {name: i for i, name in enumerate(dataset.categories)}
    counted = [[one for one in photo.objects if one.counted] for photo in dataset.photos]
    return CountedObjects(
        dataset,
        tuple(
            np.array([(o.box.x, o.box.y, o.box.w, o.box.h) for o in some], np.int64).reshape(-1, 4)
            for some in counted
        ),
        np.array([number[one.category] for some in counted for one in some], np.int64),
    )


@dataclass(frozen=True, eq=False)
class Captured:
    """What the patches of one selector capture.

    `rank (M,) int64`: of each counted object, how many patches of its photo come before the first
    that captures it; `NEVER` where none does. `patches (photos,) int64`: the patches of each photo.
    """

    NEVER = np.iinfo(np.int64).max

    rank: NDArray[np.int64]
    patches: NDArray[np.int64]

    def within(self, budget: int) -> tuple[float, float]:
        """Patches a photo, and the share captured, when of each photo only the first are taken."""
        share = float((self.rank < budget).mean()) if len(self.rank) else 0.0
        return float(np.minimum(self.patches, budget).mean()), share


def captured(objects: CountedObjects, patches: Sequence[Boxes]) -> Captured:
    """Looks for every object in the patches of its photo (`relevance.captures`)."""
    ranks = [
        first_capture(boxes, things) for boxes, things in zip(patches, objects.boxes, strict=True)
    ]
    counts = np.array([len(boxes) for boxes in patches], np.int64)
    return Captured(np.concatenate([np.empty(0, np.int64), *ranks]), counts)


def first_capture(patches: Boxes, things: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each object (m, 4), the number of the first patch that captures it: (m,) int64."""
    if not len(patches) or not len(things):
        return np.full(len(things), Captured.NEVER)
    squares = patches.astype(np.int64)
    shared = shared_pixels(squares, things)
    area = squares[:, 2] * squares[:, 3]
    holds = (shared >= INSIDE * (things[:, 2] * things[:, 3])) & (shared >= COVER * area[:, None])
    holds &= shared > 0
    return np.where(holds.any(axis=0), holds.argmax(axis=0), Captured.NEVER)


def whole_photos(dataset: StudyDataset) -> list[Boxes]:
    """One patch a photo: all of it."""
    return [np.array([[0, 0, one.width, one.height]], np.int32) for one in dataset.photos]


def random_windows(
    dataset: StudyDataset, like: Sequence[Boxes], rng: np.random.Generator
) -> list[Boxes]:
    """As many windows of the same sizes, each anywhere in its photo with equal chance."""
    drawn = []
    for photo, boxes in zip(dataset.photos, like, strict=True):
        windows = boxes.copy()
        windows[:, 0] = rng.integers(0, photo.width - boxes[:, 2], endpoint=True)
        windows[:, 1] = rng.integers(0, photo.height - boxes[:, 3], endpoint=True)
        drawn.append(windows)
    return drawn


def table_row(
    objects: CountedObjects, some: Sequence[Captured], selector: str, like: str | None = None
) -> dict[str, Any]:
    """One row of `selection` in results.json: the mean over one or more draws of patches."""
    found = np.mean([one.rank != Captured.NEVER for one in some], axis=0)
    names = objects.dataset.categories
    shares, counts = {}, {}
    for i, name in enumerate(names):
        of_class = objects.category == i
        if of_class.any():
            shares[name] = float(found[of_class].mean())
            counts[name] = int(of_class.sum())
    groups = {
        group: float(found[np.isin(objects.category, [names.index(one) for one in members])].mean())
        for group, members in objects.dataset.groups.items()
        if any(one in shares for one in members)
    }
    return {
        "selector": selector,
        "control": selector == WHOLE_IMAGE or like is not None,
        "like": like,
        "patches_per_image": float(np.mean([one.patches.mean() for one in some])),
        "captured": shares,
        "captured_groups": groups,
        "objects": counts,
        "mean": float(found.mean()) if len(found) else None,
        "mean_over_classes": float(np.mean(list(shares.values()))) if shares else None,
    }
