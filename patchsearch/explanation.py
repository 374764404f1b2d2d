"""Why a photo has the patches it has: every window, what became of it, and by which rules."""

from __future__ import annotations

import enum
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchsearch.geometry import Box


class WindowDecision(enum.Enum):
    """What became of a window that could have been a patch."""

    CHOSEN = "chosen"
    """It is a patch."""
    BELOW_THRESHOLD = "below threshold"
    """The average of the saliency map in it is below the threshold of its level."""
    OUTSCORED = "outscored"
    """It overlaps a patch of a higher score, its `rival`, by more than the limit of its level."""
    BEYOND_NUMBER = "beyond number"
    """As many patches as its level allows in a region were chosen before it."""
    CHOSEN_ELSEWHERE = "chosen elsewhere"
    """It is a patch already, chosen in another region that overlaps this one."""
    UNKNOWN = "unknown"
    """A newer server said something that this client does not know."""


class SelectionRule(enum.Enum):
    """By what the patches of a region were chosen."""

    SCORES = "scores"
    """By score, threshold, overlap and number."""
    SCORES_WITHOUT_THRESHOLD = "scores without threshold"
    """By score, overlap and number: no window reached the threshold."""
    EVENLY = "evenly"
    """Spread evenly: the saliency map says nothing."""
    NOTHING = "nothing"
    """None were: the saliency map says nothing, and the region is a patch itself."""
    ALL = "all"
    """All windows are patches: the level has no limits."""
    WHOLE_PHOTO = "whole photo"
    """No window fits in the photo, which is one patch."""
    UNKNOWN = "unknown"
    """A newer server said something that this client does not know."""


@dataclass(frozen=True, slots=True)
class ExplainedRegion:
    """A part of a photo in which patches were looked for: the photo at level 1, a patch below.

    `min_average` (0..1), `max_patches` and `max_overlap` (0..1) are the limits of the level, None
    where it has none. `saliency_png` is the saliency map as an 8-bit grey PNG to be stretched over
    `box`; b"" where none was needed, or where the deployment gives none away.
    """

    box: Box
    level: int
    rule: SelectionRule
    min_average: float | None
    max_patches: int | None
    max_overlap: float | None
    saliency_png: bytes

    def saliency_map(self) -> NDArray[np.float32] | None:
        """(rows, columns) float32 in 0..1, 1 where the eye goes; None where there is no map."""
        if not self.saliency_png:
            return None
        with Image.open(io.BytesIO(self.saliency_png), formats=("PNG",)) as image:
            pixels = np.asarray(image.convert("L"), dtype=np.float32)
        return np.asarray(pixels / 255, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ExplainedWindow:
    """A window that could have been a patch, and what became of it.

    `region` counts in `SelectionExplanation.regions`. `score` (thesis eq. 3.2, -1 to 1) and
    `average` (eq. 3.1, 0 to 1) are 0 where windows were not scored. `overlap` is the share of the
    larger window that it has in common with `rival`, the patch it overlaps most of those chosen
    before it; 0 and None without one.
    """

    box: Box
    level: int
    region: int
    decision: WindowDecision
    score: float
    average: float
    overlap: float
    rival: Box | None


@dataclass(frozen=True, slots=True)
class SelectionExplanation:
    """Which windows of a photo are patches, and why the others are not.

    `windows`: the patches as they were chosen, then the others, highest score first, cut at the
    number asked for; `counts` tells how many windows of a level met each fate, those left out too.
    `selection` names selector and saliency model. Times are in milliseconds.
    """

    width: int
    height: int
    selection: str
    regions: tuple[ExplainedRegion, ...]
    windows: tuple[ExplainedWindow, ...]
    counts: Mapping[tuple[int, WindowDecision], int]
    warnings: tuple[str, ...]
    decode_ms: float
    select_ms: float

    @property
    def chosen(self) -> tuple[ExplainedWindow, ...]:
        """The windows that are patches, as they were chosen."""
        return tuple(w for w in self.windows if w.decision is WindowDecision.CHOSEN)

    @property
    def window_count(self) -> int:
        """How many windows there are, those left out too."""
        return sum(self.counts.values())
