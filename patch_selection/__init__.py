"""Which square patches of a photo are worth embedding.

    saliency = load_saliency("spectral-residual")
    selection = select_patches(image, saliency, load_selector("hierarchical-filtered"))

`explain_selection` tells the score and the fate of every window; `choose_in_region` is the step
below.
"""

from patch_selection.explanation import Explanation, WindowFate, explain_selection
from patch_selection.greedy import Decision, WindowChoice, choose_windows
from patch_selection.region import RegionChoice, Rule, choose_in_region
from patch_selection.saliency import Saliency, SpectralResidual, UnknownSaliency, load_saliency
from patch_selection.scoring import WindowScores, fit_map, quantise, score_windows
from patch_selection.selection import (
    RegionLook,
    SelectedPatch,
    Selection,
    select_batch,
    select_patches,
)
from patch_selection.selectors import (
    DEFAULT_SELECTOR,
    SELECTORS,
    Level,
    Selector,
    load_selector,
)
from patch_selection.windows import grid_windows

__all__ = [
    "DEFAULT_SELECTOR",
    "SELECTORS",
    "Decision",
    "Explanation",
    "Level",
    "RegionChoice",
    "RegionLook",
    "Rule",
    "Saliency",
    "SelectedPatch",
    "Selection",
    "Selector",
    "SpectralResidual",
    "UnknownSaliency",
    "WindowChoice",
    "WindowFate",
    "WindowScores",
    "choose_in_region",
    "choose_windows",
    "explain_selection",
    "fit_map",
    "grid_windows",
    "load_saliency",
    "load_selector",
    "quantise",
    "score_windows",
    "select_batch",
    "select_patches",
]
