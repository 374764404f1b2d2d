"""Windows of a scene for measuring: by a selector, or a grid with one look at each object."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation.relevance import captures
from evaluation.scenes import Scene
from patch_selection import load_saliency, load_selector, select_patches
from patchsearch.geometry import Box
from training.mini.patches import window_sides

PER_SCENE = 35
"""Patches per picture, as in the thesis."""


def grid(width: int, height: int) -> list[Box]:
    """Square windows of the three sides at strides of half a side."""
    out = []
    for side in window_sides(width, height):
        step = side // 2
        out += [
            Box(x, y, side, side)
            for y in range(0, height - side + 1, step)
            for x in range(0, width - side + 1, step)
        ]
    return out


def choose(scene: Scene, seed: int) -> list[Box]:
    """About `PER_SCENE` windows of the grid: for every object one that captures it, where there is
    one, as a good selector would have it; the rest at random."""
    rng = np.random.default_rng(seed)
    height, width = scene.pixels.shape[:2]
    windows = grid(width, height)
    order = rng.permutation(len(windows)).tolist()
    chosen: dict[Box, None] = {}
    for obj in scene.objects:
        holding = [windows[i] for i in order if captures(windows[i], obj.box)]
        for window in holding[: 1 + int(rng.random() < 0.5)]:
            chosen[window] = None
    for i in order:
        if len(chosen) >= PER_SCENE:
            break
        chosen[windows[i]] = None
    return list(chosen)[:PER_SCENE]


def by_name(selector: str) -> Callable[[Scene, int], list[Box]]:
    """`grid`, or one of the product's selectors with its default saliency model."""
    if selector == "grid":
        return choose
    saliency, chosen = load_saliency(), load_selector(selector)

    def select(scene: Scene, seed: int) -> list[Box]:
        return [patch.box for patch in select_patches(scene.pixels, saliency, chosen).patches]

    return select
