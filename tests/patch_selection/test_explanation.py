"""The fate of every window: true to the selection, and true by the rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from patch_selection import (
    SELECTORS,
    Decision,
    Explanation,
    Level,
    Rule,
    Selector,
    WindowFate,
    explain_selection,
    load_saliency,
    select_patches,
)
from patch_selection.saliency import RgbImage, SaliencyMap

SMALL = Selector(
    "small",
    (Level((60,), (20,), 0.05, 3, 0.7), Level((30, 16), (10, 5), 0.3, 4, 0.25)),
    reference_short_side=None,
)


class Fixed:
    """A model whose map of every picture is one value, or the picture's brightness."""

    name = "fixed"

    def __init__(self, value: float | None = None) -> None:
        self._value = value

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        return [
            image[::2, ::2].mean(axis=2, dtype=np.float32) / 255
            if self._value is None
            else np.full((4, 4), self._value, np.float32)
            for image in images
        ]


def noise(height: int, width: int, seed: int = 0) -> RgbImage:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return fine.astype(np.uint8)


def chosen(explanation: Explanation) -> list[WindowFate]:
    return [fate for fate in explanation.windows if fate.decision is Decision.KEPT]


@pytest.mark.parametrize("selector", [*SELECTORS.values(), SMALL], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_chosen_windows_are_the_selection(selector: Selector, seed: int) -> None:
    image = noise(300, 420, seed)
    saliency = Fixed() if selector is SMALL else load_saliency("spectral-residual")
    selection = select_patches(image, saliency, selector)

    explanation = explain_selection(image, saliency, selector)

    assert explanation.selection == selection
    found = [(fate.box, fate.level, fate.score) for fate in chosen(explanation)]
    assert found == [(patch.box, patch.level, patch.score) for patch in selection.patches]
    assert explanation.windows[: len(found)] == tuple(chosen(explanation))
    assert sum(explanation.counts.values()) == len(explanation.windows)


@pytest.mark.parametrize("seed", range(4))
def test_every_other_window_has_a_true_reason(seed: int) -> None:
    explanation = explain_selection(noise(110, 150, seed), Fixed(), SMALL)

    met = set()
    for fate in explanation.windows:
        look = explanation.looks[fate.region]
        level = look.rules
        patches = [f for f in chosen(explanation) if f.region == fate.region]
        assert fate.box.intersection(look.box) == fate.box.w * fate.box.h
        met.add(fate.decision)
        if fate.decision is Decision.BELOW_AVERAGE:
            assert level.min_average is not None and fate.average < level.min_average
            continue
        if fate.decision is Decision.TAKEN:
            assert fate.box in {f.box for f in chosen(explanation) if f.region != fate.region}
            continue
        assert look.found.rule is Rule.SCORES
        assert level.min_average is None or fate.average >= level.min_average
        overlaps = {p.box: fate.box.overlap(p.box) for p in patches if p.score >= fate.score}
        if fate.decision is Decision.OVERLAPPED:
            assert fate.rival is not None
            assert fate.overlap == overlaps[fate.rival] > level.max_overlap
        elif fate.decision is Decision.BEYOND_K:
            assert len(patches) == level.k
            assert all(p.score >= fate.score for p in patches)
            assert max(overlaps.values()) <= level.max_overlap
    assert {Decision.KEPT, Decision.OVERLAPPED, Decision.BEYOND_K} <= met


def test_counts_speak_for_what_was_cut_and_the_best_scores_stay() -> None:
    image = noise(110, 150)
    whole = explain_selection(image, Fixed(), SMALL)
    patches = len(chosen(whole))

    cut = explain_selection(image, Fixed(), SMALL, most=patches + 5)

    assert cut.counts == whole.counts
    assert cut.windows == whole.windows[: patches + 5]
    scores = [fate.score for fate in whole.windows[patches:]]
    assert scores == sorted(scores, reverse=True)
    assert len(explain_selection(image, Fixed(), SMALL, most=2).windows) == 2


def test_a_map_that_says_nothing_is_told() -> None:
    explanation = explain_selection(noise(110, 150), Fixed(0.5), SMALL)

    first, *others = explanation.looks
    assert (first.found.rule, first.box.w, first.box.h) == (Rule.EVENLY, 150, 110)
    assert {look.found.rule for look in others} == {Rule.NOTHING}
    assert explanation.counts[1, Decision.KEPT] == 3
    assert (2, Decision.KEPT) not in explanation.counts
    assert "the same everywhere" in explanation.selection.warnings[0]


def test_a_dark_photo_is_chosen_from_without_the_threshold() -> None:
    image = noise(110, 150) // 64
    explanation = explain_selection(image, Fixed(), SMALL)

    assert explanation.looks[0].found.rule is Rule.SCORES_WITHOUT_THRESHOLD
    assert (1, Decision.BELOW_AVERAGE) not in explanation.counts
    assert all(f.decision is Decision.BELOW_AVERAGE for f in explanation.windows if f.level == 2)


def test_a_photo_too_small_for_windows_is_one_patch() -> None:
    image = noise(20, 40)
    explanation = explain_selection(image, Fixed(), SMALL)

    (fate, *_) = explanation.windows
    assert (fate.box.w, fate.box.h, fate.decision) == (40, 20, Decision.KEPT)
    assert explanation.looks[0].found.rule is Rule.WHOLE_PHOTO
    assert explanation.selection == select_patches(image, Fixed(), SMALL)
