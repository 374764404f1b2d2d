"""One region of a photo: from its saliency map to the fate of each of its windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from patch_selection.greedy import Decision, WindowChoice, choose_windows, equal_rows
from patch_selection.saliency.interface import SaliencyMap
from patch_selection.scoring import WindowScores, fit_map, quantise, score_windows
from patch_selection.selectors import Level
from patch_selection.spread import spread_windows
from patch_selection.windows import WindowArray, grid_windows
from patchsearch.errors import InvalidArgument


class Rule(IntEnum):
    """By what the windows of a region were chosen."""

    SCORES = 0
    """By their scores, as the level says."""
    SCORES_WITHOUT_THRESHOLD = 1
    """By their scores, without the threshold, which none of them reached."""
    EVENLY = 2
    """Spread evenly: the map says nothing, and a photo is never left without patches."""
    NOTHING = 3
    """None: the map says nothing, and the region is a patch itself."""
    ALL = 4
    """All of them: the level has no rules."""
    WHOLE_PHOTO = 5
    """No window fits: the photo is one patch."""


@dataclass(frozen=True, slots=True)
class RegionChoice:
    """Every window of a region with its scores and its fate, and what did not go as usual.

    The windows of `choice` are in pixels of the region; they are scored where `rule` is one of
    scores. `warnings` are sentences for people.
    """

    choice: WindowChoice
    warnings: tuple[str, ...]
    rule: Rule


def choose_in_region(
    saliency: SaliencyMap | None,
    width: int,
    height: int,
    grids: Sequence[tuple[int, int]],
    level: Level,
    taken: WindowArray | None = None,
    never_empty: bool = True,
) -> RegionChoice:
    """Score the windows of a region of `width` x `height` pixels and choose among them.

    `saliency` (rows, columns) float32 in 0..1 covers the region at any resolution; None is allowed
    where `level.keeps_everything`. `grids` are (side, stride) in pixels. `taken` (m, 3) are windows
    in pixels of the region, or beside it, that are patches already and not to be chosen again.

    A map that says nothing (NaN, infinite or the same everywhere) leaves the choice to
    `spread_windows`, with score 0 and a warning; one on which every window falls below the
    threshold is used without the threshold, with a warning. With `never_empty` False a constant or
    a low map just gives no windows. Raises `InvalidArgument` (MAP_INVALID) for a map of
    another shape.
    """
    windows = grid_windows(width, height, grids)
    if level.keeps_everything:
        return RegionChoice(_unscored(windows, None, taken), (), Rule.ALL)
    if saliency is None or saliency.ndim != 2 or saliency.size == 0:
        shape = None if saliency is None else saliency.shape
        raise InvalidArgument(
            "MAP_INVALID",
            f"the saliency map has shape {shape}; it must be (rows, columns), one or more of each",
        )
    if not np.isfinite(saliency).all():
        return RegionChoice(
            _unscored(windows, level.k, taken),
            ("the saliency map is not finite: windows were spread evenly instead",),
            Rule.EVENLY,
        )
    pixels = quantise(saliency)
    if pixels.min() == pixels.max():
        if not never_empty:
            return RegionChoice(_unscored(windows, 0, taken), (), Rule.NOTHING)
        return RegionChoice(
            _unscored(windows, level.k, taken),
            ("the saliency map is the same everywhere: windows were spread evenly instead",),
            Rule.EVENLY,
        )
    scores = score_windows(fit_map(pixels, width, height), windows)
    choice = choose_windows(scores, level.min_average, level.k, level.max_overlap, taken)
    if choice.kept.size or not never_empty or not len(windows):
        return RegionChoice(choice, (), Rule.SCORES)
    return RegionChoice(
        choose_windows(scores, None, level.k, level.max_overlap, taken),
        (f"no window reached S_apv {level.min_average}: chosen without that threshold",),
        Rule.SCORES_WITHOUT_THRESHOLD,
    )


def whole_region() -> RegionChoice:
    """The choice where no window fits in a photo, which is one patch then."""
    return RegionChoice(
        _unscored(grid_windows(1, 1, ()), None, None),
        ("no window fits in the photo: it is one patch",),
        Rule.WHOLE_PHOTO,
    )


def _unscored(windows: WindowArray, k: int | None, taken: WindowArray | None) -> WindowChoice:
    count = len(windows)
    nothing = np.zeros(count, dtype=np.float64)
    decision = np.full(count, Decision.BEYOND_K, dtype=np.uint8)
    free = np.arange(count, dtype=np.int64)
    if taken is not None and len(taken):
        again = equal_rows(windows, taken)
        decision[again] = Decision.TAKEN
        free = free[~again]
    kept = free[spread_windows(windows[free], k)]
    decision[kept] = Decision.KEPT
    return WindowChoice(
        WindowScores(windows, nothing, nothing),
        decision,
        kept,
        overlap=nothing,
        rival=np.full(count, -1, dtype=np.int64),
    )
