"""Why these patches and not others: the fate of every window of a photo, to be shown to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patch_selection.greedy import Decision
from patch_selection.region import Rule
from patch_selection.saliency.interface import Saliency
from patch_selection.selection import RegionLook, Selection, select_and_tell
from patch_selection.selectors import DEFAULT_SELECTOR, Selector
from patchsearch.geometry import Box


@dataclass(frozen=True, slots=True)
class WindowFate:
    """A window of a photo and what became of it.

    `box` is in pixels of the photo; `region` counts in `Explanation.looks`. `score` is S_id (eq.
    3.2) and `average` S_apv (eq. 3.1), both 0 where the region's rule is none of scores. `overlap`,
    0..1, is the share of the larger window that it has in common with `rival`, the kept window
    it overlaps most; 0 and None where there is none.
    """

    box: Box
    level: int
    region: int
    score: float
    average: float
    decision: Decision
    overlap: float
    rival: Box | None


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A selection, the regions that were looked at for it, and their windows.

    `windows`: the kept ones first, as they are ordered in the selection, then the others, highest
    score first. `counts`: how many windows met each fate at each level, those left out too.
    """

    selection: Selection
    looks: tuple[RegionLook, ...]
    windows: tuple[WindowFate, ...]
    counts: dict[tuple[int, Decision], int]


def explain_selection(
    image: npt.NDArray[np.uint8],
    saliency: Saliency,
    selector: Selector = DEFAULT_SELECTOR,
    most: int | None = None,
) -> Explanation:
    """What `select_patches` chooses in a photo, and why not the other windows; at most `most`.

    Chosen by the very steps of `select_patches`, so that one cannot differ from the other. Raises
    `InvalidArgument` (IMAGE_INVALID) as that does. Thread-safe if the model is.
    """
    selection, looks = select_and_tell(image, saliency, selector)
    counts: dict[tuple[int, Decision], int] = {}
    for look in looks:
        for decision, count in _decisions(look):
            key = (look.level, decision)
            counts[key] = counts.get(key, 0) + count
    rows = _ranked(looks, most)
    return Explanation(selection, looks, tuple(_fate(looks, r, i) for r, i in rows), counts)


def _decisions(look: RegionLook) -> list[tuple[Decision, int]]:
    if look.found.rule is Rule.WHOLE_PHOTO:
        return [(Decision.KEPT, 1)]
    values, counts = np.unique(look.found.choice.decision, return_counts=True)
    return [(Decision(v), c) for v, c in zip(values.tolist(), counts.tolist(), strict=True)]


def _ranked(looks: Sequence[RegionLook], most: int | None) -> list[tuple[int, int]]:
    """(region, window) of all windows: the kept ones as they were kept, then by score."""
    kept: list[tuple[int, int]] = []
    regions, indices, scores = [], [], []
    for region, look in enumerate(looks):
        if look.found.rule is Rule.WHOLE_PHOTO:
            kept.append((region, -1))
            continue
        choice = look.found.choice
        kept += [(region, index) for index in choice.kept.tolist()]
        others = np.flatnonzero(choice.decision != Decision.KEPT)
        regions.append(np.full(others.size, region, dtype=np.int64))
        indices.append(others)
        scores.append(choice.scores.inner_difference[others])
    if not regions:
        return kept[:most]
    order = np.argsort(-np.concatenate(scores), kind="stable")[:most]
    left = (np.concatenate(regions)[order].tolist(), np.concatenate(indices)[order].tolist())
    return [*kept, *zip(*left, strict=True)][:most]


def _fate(looks: Sequence[RegionLook], region: int, index: int) -> WindowFate:
    look = looks[region]
    if index < 0:
        return WindowFate(look.box, look.level, region, 0.0, 0.0, Decision.KEPT, 0.0, None)
    choice = look.found.choice
    rival = int(choice.rival[index])
    return WindowFate(
        _box(look, index),
        look.level,
        region,
        float(choice.scores.inner_difference[index]),
        float(choice.scores.average[index]),
        Decision(int(choice.decision[index])),
        float(choice.overlap[index]),
        None if rival < 0 else _box(look, rival),
    )


def _box(look: RegionLook, index: int) -> Box:
    x, y, side = look.found.choice.scores.windows[index].tolist()
    return Box(look.box.x + x, look.box.y + y, side, side)
