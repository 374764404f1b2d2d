"""The figures of `selection` and `curves` in results.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.study.budgets import MOST_PATCHES, Budget, budgets
from evaluation.study.captured import (
    UNIFORM_RANDOM,
    WHOLE_IMAGE,
    Boxes,
    Captured,
    CountedObjects,
    captured,
    counted_objects,
    random_windows,
    table_row,
    whole_photos,
)
from evaluation.study.patching import PatchedDataset
from patch_selection import Selector

DRAWS = 10
"""Sets of random windows that a control is the mean of."""


def selection_rows(patched: PatchedDataset, seed: int) -> list[dict[str, Any]]:
    """Table 4.2: a row for the whole image, and two for each selector: itself, and chance."""
    dataset = patched.dataset
    objects = counted_objects(dataset)
    rows = [table_row(objects, [captured(objects, whole_photos(dataset))], WHOLE_IMAGE)]
    for selector in patched.plan.embedded:
        boxes = [one.boxes for one in patched.chosen(selector)]
        rows.append(table_row(objects, [captured(objects, boxes)], selector.name))
    for selector in patched.plan.embedded:
        boxes = [one.boxes for one in patched.chosen(selector)]
        chance = _by_chance(objects, boxes, seed)
        rows.append(table_row(objects, chance, f"{UNIFORM_RANDOM}:{selector.name}", selector.name))
    return rows


def curve_selectors(selectors: Sequence[Selector]) -> tuple[Selector, ...]:
    """What is to be looked at beside the selectors themselves, so that curves can be drawn."""
    return tuple(budget.selector for selector in selectors for budget in budgets(selector))


def curve_rows(patched: PatchedDataset, seed: int) -> list[dict[str, Any]]:
    """Share of all objects captured against patches a photo, for every selector.

    Rows have `selector`, `control`, `budget` (patches asked for), `patches_per_image` (what came)
    and `captured`. A selector that keeps every window has one row, without a budget. Chance is
    measured with the windows of each hierarchy, or of the last selector where there is none.
    """
    objects = counted_objects(patched.dataset)
    whole = captured(objects, whole_photos(patched.dataset))
    rows = [_point(WHOLE_IMAGE, True, 1, *whole.within(1))]
    selectors = patched.plan.embedded
    for selector in selectors:
        ladder = budgets(selector)
        if not ladder:
            boxes = [one.boxes for one in patched.chosen(selector)]
            found = captured(objects, boxes)
            rows.append(_point(selector.name, False, None, *found.within(Captured.NEVER)))
        for budget in ladder:
            rows += _points(patched, objects, selector, budget)
    by_chance = [one for one in selectors if len(one.levels) > 1] or list(selectors[-1:])
    for selector in by_chance:
        name = f"{UNIFORM_RANDOM}:{selector.name}"
        for budget in budgets(selector):
            boxes = [one.boxes for one in patched.chosen(budget.selector)]
            draws = _by_chance(objects, boxes, seed)
            for asked in _asked(budget):
                points = np.mean([draw.within(asked) for draw in draws], axis=0)
                rows.append(_point(name, True, asked, *points.tolist()))
    return rows


def selection_warnings(patched: PatchedDataset) -> list[dict[str, Any]]:
    """What did not go as usual in the choice of patches: selector, sentence, number of photos."""
    rows = []
    for selector in patched.plan.embedded:
        counts: dict[str, int] = {}
        for one in patched.chosen(selector):
            for warning in one.warnings:
                counts[warning] = counts.get(warning, 0) + 1
        rows += [
            {"selector": selector.name, "warning": warning, "photos": count}
            for warning, count in counts.items()
        ]
    return rows


def _points(
    patched: PatchedDataset, objects: CountedObjects, selector: Selector, budget: Budget
) -> list[dict[str, Any]]:
    boxes = [one.boxes for one in patched.chosen(budget.selector)]
    found = captured(objects, boxes)
    return [_point(selector.name, False, asked, *found.within(asked)) for asked in _asked(budget)]


def _asked(budget: Budget) -> range:
    least = 1 if budget.prefixes else budget.patches
    return range(least, min(budget.patches, MOST_PATCHES) + 1)


def _by_chance(objects: CountedObjects, like: Sequence[Boxes], seed: int) -> list[Captured]:
    rng = np.random.default_rng(seed)
    return [captured(objects, random_windows(objects.dataset, like, rng)) for _ in range(DRAWS)]


def _point(
    selector: str, control: bool, budget: int | None, patches: float, share: float
) -> dict[str, Any]:
    return {
        "selector": selector,
        "control": control,
        "budget": budget,
        "patches_per_image": patches,
        "captured": share,
    }
