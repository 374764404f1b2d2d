from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patch_selection.greedy import Decision
from patch_selection.region import choose_in_region
from patch_selection.saliency import RgbImage, SaliencyMap
from patch_selection.scoring import fit_map, quantise
from patch_selection.selection import SelectedPatch, Selection, select_batch, select_patches
from patch_selection.selectors import (
    BASELINE_FILTERED,
    BASELINE_UNFILTERED,
    HIERARCHICAL_FILTERED,
    SELECTORS,
    Level,
    Selector,
)
from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from tests.patch_selection.naive_selection import naive_selection

SMALL = Selector(
    "small",
    (Level((60,), (20,), 0.05, 3, 0.7), Level((30, 16), (10, 5), 0.3, 4, 0.25)),
    reference_short_side=None,
)


class Brightness:
    """A saliency model that finds what is bright, at half the resolution; counts its calls."""

    name = "brightness"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        self.batches.append(len(images))
        return [image[::2, ::2].mean(axis=2, dtype=np.float32) / 255 for image in images]


class Fixed:
    """A model that gives the map it is told to give, whatever the image."""

    name = "fixed"

    def __init__(self, make: Callable[[RgbImage], np.ndarray]) -> None:
        self.make = make

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        return [self.make(image).astype(np.float32) for image in images]


def noise(height: int, width: int, seed: int = 0) -> RgbImage:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return fine.astype(np.uint8)


def check(selection: Selection, width: int, height: int) -> None:
    boxes = [patch.box for patch in selection.patches]
    assert boxes
    assert len(set(boxes)) == len(boxes)
    assert all(box.inside(width, height) for box in boxes)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(60, 150),
    height=st.integers(60, 110),
)
def test_two_levels_equal_the_algorithm_as_written(seed: int, width: int, height: int) -> None:
    image = noise(height, width, seed)
    model = Brightness()

    expected: list[SelectedPatch] = []
    regions = [Box(0, 0, width, height)]
    for number, level in enumerate(SMALL.levels, start=1):
        found: list[SelectedPatch] = []
        for region in regions:
            cut = image[region.y : region.bottom, region.x : region.right]
            pixels = fit_map(quantise(model.predict([cut])[0]), region.w, region.h)
            taken = {
                Box(p.box.x - region.x, p.box.y - region.y, p.box.w, p.box.h)
                for p in expected + found
            }
            found += [
                SelectedPatch(Box(region.x + box.x, region.y + box.y, box.w, box.h), number, score)
                for box, score in naive_selection(
                    pixels,
                    list(zip(level.sizes, level.strides, strict=True)),
                    level.min_average,
                    level.k,
                    level.max_overlap,
                    taken,
                )
            ]
        expected += found
        regions = [patch.box for patch in found]
    got = select_patches(image, model, SMALL)
    assert got == Selection(tuple(expected), ())
    check(got, width, height)


def test_patches_lie_in_a_patch_of_the_level_before() -> None:
    image = noise(400, 700)
    selection = select_patches(image, Brightness(), SMALL)
    parents = [patch.box for patch in selection.patches if patch.level == 1]
    children = [patch.box for patch in selection.patches if patch.level == 2]
    assert len(parents) == 3
    assert children
    for child in children:
        assert any(parent.intersection(child) == child.area for parent in parents)


def test_one_call_of_the_model_for_a_level_of_the_whole_batch() -> None:
    model = Brightness()
    images = [noise(200, 300, seed) for seed in range(4)]
    selections = select_batch(images, model, SMALL)
    assert model.batches == [4, 12]
    assert selections == [select_patches(image, Brightness(), SMALL) for image in images]
    assert select_batch([], model, SMALL) == []
    assert model.batches == [4, 12]


def test_a_window_of_two_regions_is_chosen_once_and_replaced() -> None:
    # Two regions that share a column of windows, with the brightest spot in it.
    selector = Selector(
        "twice",
        (Level((60,), (30,), None, 2, 0.5), Level((30,), (10,), None, 1, 0.25)),
        reference_short_side=None,
    )
    image = np.zeros((60, 90, 3), dtype=np.uint8)
    image[20:40, 40:50] = 255
    selection = select_patches(image, Brightness(), selector)
    boxes = [patch.box for patch in selection.patches if patch.level == 2]
    assert Box(30, 10, 30, 30) in boxes
    assert len(boxes) == len(set(boxes)) == 2


def test_regions_without_contrast_or_rules() -> None:
    # Two regions, side by side, of which only the left shows anything.
    image = np.zeros((60, 120, 3), dtype=np.uint8)
    image[15:45, 15:45] = 255
    first = Level((60,), (60,), None, 2, 0.25)
    picky = Selector("picky", (first, Level((30,), (15,), 0.1, 3, 0.25)), None)
    children = [p for p in select_patches(image, Brightness(), picky).patches if p.level == 2]
    assert children
    assert all(child.box.right <= 60 for child in children)
    # Half of the windows of two regions that overlap by half lie in both.
    overlapping = Level((60,), (30,), None, 3, 0.5)
    every = Selector("every", (overlapping, Level((30,), (30,))), None)
    selection = select_patches(image, Brightness(), every)
    check(selection, 120, 60)
    assert len([patch for patch in selection.patches if patch.level == 2]) == 8


@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS)
@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0, np.nan, np.inf])
def test_a_map_that_says_nothing_gives_spread_windows(selector: Selector, fill: float) -> None:
    model = Fixed(lambda image: np.full((20, 30), fill))
    selection = select_patches(noise(600, 1000), model, selector)
    check(selection, 1000, 600)
    first = [patch for patch in selection.patches if patch.level == 1]
    k = selector.levels[0].k
    assert len(first) == (k or len(first))
    assert all(patch.score == 0.0 for patch in first)
    if selector is BASELINE_UNFILTERED:
        assert not selection.warnings
    else:
        assert any("spread evenly" in warning for warning in selection.warnings)


def test_one_bad_pixel_in_a_map_is_not_trusted() -> None:
    def almost(image: RgbImage) -> np.ndarray:
        saliency = image[:, :, 0] / 255
        saliency[3, 3] = np.nan
        return saliency

    selection = select_patches(noise(600, 1000), Fixed(almost), HIERARCHICAL_FILTERED)
    check(selection, 1000, 600)
    assert len(selection.patches) == 35
    assert any("not finite" in warning for warning in selection.warnings)


def test_a_map_below_the_threshold_is_used_without_it() -> None:
    image = np.zeros((600, 1000, 3), dtype=np.uint8)
    image[300:330, 700:730] = 200
    selection = select_patches(image, Brightness(), BASELINE_FILTERED)
    assert any("without that threshold" in warning for warning in selection.warnings)
    best = selection.patches[0]
    assert best.box.intersection(Box(700, 300, 30, 30)) == 900
    assert best.score > 0


@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS)
@pytest.mark.parametrize(("width", "height"), [(63, 200), (40, 30), (1, 1), (500, 1)])
def test_a_photo_too_small_for_windows_is_one_patch(
    selector: Selector, width: int, height: int
) -> None:
    selection = select_patches(np.zeros((height, width, 3), np.uint8), Brightness(), selector)
    assert [patch.box for patch in selection.patches] == [Box(0, 0, width, height)]
    assert selection.patches[0].level == 1
    assert len(selection.warnings) == 1


def test_smaller_windows_are_still_chosen_in_a_photo_that_is_one_patch() -> None:
    selector = Selector(
        "large-first", (Level((300,), (100,)), Level((50,), (25,), None, 4, 0.25)), None
    )
    selection = select_patches(noise(120, 200), Brightness(), selector)
    assert [patch.level for patch in selection.patches] == [1, 2, 2, 2, 2]
    check(selection, 200, 120)


@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS)
@pytest.mark.parametrize(("width", "height"), [(2400, 300), (150, 1200), (64, 64), (65, 64)])
def test_panoramas_and_tiny_squares(selector: Selector, width: int, height: int) -> None:
    selection = select_patches(noise(height, width), Brightness(), selector)
    check(selection, width, height)
    assert all(patch.box.w == patch.box.h for patch in selection.patches)
    assert len(selection.patches) <= 35 or selector is BASELINE_UNFILTERED


def test_grey_photos_equal_colour_photos_without_colour() -> None:
    grey = noise(300, 500)[:, :, 0]
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    expected = select_patches(colour, Brightness())
    assert select_patches(grey, Brightness()) == expected
    assert select_patches(grey[:, :, None], Brightness()) == expected


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((100, 100, 4), np.uint8),
        np.zeros((100, 100, 3), np.float32),
        np.zeros((0, 100, 3), np.uint8),
        np.zeros(100, np.uint8),
    ],
)
def test_refuses_what_is_no_photo(image: np.ndarray) -> None:
    with pytest.raises(InvalidArgument) as raised:
        select_patches(image, Brightness())
    assert raised.value.reason == "IMAGE_INVALID"


def test_refuses_a_map_that_is_no_map() -> None:
    with pytest.raises(InvalidArgument) as raised:
        select_patches(noise(200, 200), Fixed(lambda image: np.zeros((5, 5, 3))))
    assert raised.value.reason == "MAP_INVALID"


def test_a_region_explains_every_window() -> None:
    level = HIERARCHICAL_FILTERED.levels[0]
    saliency = Brightness().predict([noise(400, 700)])[0]
    found = choose_in_region(saliency, 700, 400, [(160, 40)], level)
    choice = found.choice
    assert len(choice.scores) == len(choice.decision) == len(choice.overlap) == len(choice.rival)
    assert choice.kept.size == 5
    assert set(choice.decision.tolist()) <= set(Decision)
    assert (choice.decision == Decision.OVERLAPPED).sum() > 0
