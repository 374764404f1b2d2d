"""Selectors at other numbers of patches, and saliency that is asked for each map once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.scenes import generate_scene
from evaluation.study.budgets import MOST_PATCHES, budgets, nominal_patches
from evaluation.study.timed_saliency import TimedSaliency, saliency_fingerprint
from patch_selection import SELECTORS, load_saliency, load_selector, select_patches

PHOTO = generate_scene(7, 1001, 640, 400).pixels
SALIENCY = load_saliency("spectral-residual")


def test_one_level_has_all_smaller_numbers_in_the_largest() -> None:
    for name in ("baseline-filtered", "multisize-filtered"):
        (budget,) = budgets(load_selector(name))
        assert (budget.patches, budget.prefixes) == (MOST_PATCHES, True)
        most = select_patches(PHOTO, SALIENCY, budget.selector).patches
        usual = select_patches(PHOTO, SALIENCY, load_selector(name)).patches
        assert most[: len(usual)] == usual
        assert len(usual) == min(len(most), 35)


def test_a_hierarchy_keeps_the_ratio_of_its_levels() -> None:
    usual = load_selector("hierarchical-filtered")
    ladder = budgets(usual)
    counts = [budget.patches for budget in ladder]
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1] <= MOST_PATCHES, counts[-1] > 80) == (1, True, True)
    assert not any(budget.prefixes for budget in ladder)
    for budget in ladder[1:]:
        kept = tuple(level.k or 0 for level in budget.selector.levels)
        assert budget.patches == nominal_patches(kept)
    same = [one.selector for one in ladder if one.patches == 35]
    assert [one.levels for one in same] == [usual.levels]
    assert len(select_patches(PHOTO, SALIENCY, ladder[0].selector).patches) == 1


def test_a_selector_that_keeps_everything_has_no_numbers_to_vary() -> None:
    assert budgets(load_selector("baseline-unfiltered")) == []


class CountingSaliency:
    """A fake for the seam `Saliency` that counts what it is asked."""

    name = "counting"

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        self.asked += len(images)
        return SALIENCY.predict(images)


def test_a_map_is_asked_for_once_and_the_choice_is_the_same() -> None:
    counting = CountingSaliency()
    timed = TimedSaliency(counting)
    maps = 0
    for selector in list(SELECTORS.values())[:4]:
        before = timed.maps
        chosen = select_patches(PHOTO, timed, selector)
        assert chosen == select_patches(PHOTO, SALIENCY, selector)
        maps += timed.maps - before
    # Of the thesis's selectors, the whole photo for three, and five of its patches for one.
    assert (maps, counting.asked) == (8, 6)
    assert min(timed.asked.ms, timed.asked.cpu_ms, timed.spent.ms, timed.spent.cpu_ms) > 0
    timed.forget()
    select_patches(PHOTO, timed, load_selector("multisize-filtered"))
    assert counting.asked == 7


def test_regions_are_known_by_place_size_and_strides() -> None:
    counting = CountingSaliency()
    timed = TimedSaliency(counting)
    views = [PHOTO[:100, :100], PHOTO[:100, :200], PHOTO[:100, ::2][:, :100], PHOTO[1:101, :100]]
    maps = timed.predict(views)
    again = timed.predict(views[::-1])
    assert counting.asked == 4
    for view, one, other in zip(views, maps, again[::-1], strict=True):
        (fresh,) = SALIENCY.predict([view])
        assert np.array_equal(one, fresh) and one is other


def test_pictures_that_come_and_go_are_not_confused() -> None:
    timed = TimedSaliency(SALIENCY)
    for shade in range(20):
        # Freed at once where nothing holds it, and its place is taken by the next one.
        picture = np.random.default_rng(shade).integers(0, 256, (64, 64, 3), np.uint8)
        (found,) = timed.predict([picture])
        assert np.array_equal(found, SALIENCY.predict([picture])[0])
        del picture


class DimmedSaliency(CountingSaliency):
    """A fake for the seam `Saliency`: as if the model's calibration were another."""

    def predict(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        return [found * np.float32(0.9) for found in super().predict(images)]


def test_a_fingerprint_tells_models_and_calibrations_apart() -> None:
    marks = {saliency_fingerprint(one) for one in (SALIENCY, CountingSaliency(), DimmedSaliency())}
    assert len(marks) == 3
    assert saliency_fingerprint(load_saliency("spectral-residual")) in marks
