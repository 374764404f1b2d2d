"""Crops at the model's input size, beside open_clip's own preprocessing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from encoder_service.cropping import cut_crops, whole, widened
from encoder_service.model import Preprocessing
from patchsearch.geometry import Box

MODEL = Preprocessing(64, "bicubic", "shortest", 0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    coarse = np.random.default_rng(3).integers(0, 256, (23, 40, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((320, 184), Image.Resampling.BICUBIC)).copy()


def by_open_clip(image: np.ndarray, box: Box, model: Preprocessing) -> np.ndarray:
    config = PreprocessCfg(
        size=model.side,
        mean=model.mean,
        std=model.std,
        interpolation=model.interpolation,
        resize_mode=model.resize_mode,
        fill_color=model.fill,
    )
    region = Image.fromarray(image[box.y : box.bottom, box.x : box.right])
    planes = image_transform_v2(config, is_train=False)(region)
    return np.round(planes.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("side", [30, 64, 91, 180])
def test_squares_are_as_open_clip_makes_them(image, interpolation, mode, side):
    model = replace(MODEL, interpolation=interpolation, resize_mode=mode)
    boxes = [Box(0, 0, side, side), Box(320 - side, 184 - side, side, side), Box(7, 3, side, side)]
    crops = cut_crops(image, boxes, model)
    assert crops.shape == (3, 64, 64, 3) and crops.dtype == np.uint8
    for crop, box in zip(crops, boxes, strict=True):
        assert np.abs(crop.astype(int) - by_open_clip(image, box, model)).max() <= 2


@pytest.mark.parametrize("mode, fill", [("longest", 0), ("longest", 114), ("squash", 0)])
@pytest.mark.parametrize("size", [(200, 100), (50, 150), (161, 97), (320, 9)])
def test_what_is_not_square_goes_by_the_models_configuration(image, mode, fill, size):
    model = replace(MODEL, resize_mode=mode, fill=fill)
    box = Box(0, 0, *size)
    ours = cut_crops(image, [box], model)[0].astype(int)
    # Half a pixel may be rounded the other way where padding is uneven.
    difference = np.abs(ours - by_open_clip(image, box, model))
    assert np.mean(difference > 3) <= 0.05


@pytest.mark.parametrize("size", [(200, 100), (50, 150)])
def test_shortest_keeps_the_middle(image, size):
    box = Box(10, 20, *size)
    middle = Box(60, 20, 100, 100) if size == (200, 100) else Box(10, 70, 50, 50)
    crops = cut_crops(image, [box, middle], MODEL)
    assert np.array_equal(crops[0], crops[1])
    assert np.abs(crops[0].astype(int) - by_open_clip(image, box, MODEL)).mean() < 6


def test_a_crop_does_not_see_its_neighbourhood(image):
    changed = image.copy()
    changed[:50] = 255 - changed[:50]
    box = Box(40, 50, 90, 90)
    assert np.array_equal(cut_crops(image, [box], MODEL), cut_crops(changed, [box], MODEL))


def test_shrinking_averages(encoded):
    checkers = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checkers[:, :, None], 3, axis=2)
    assert np.abs(cut_crops(image, [whole(image)], MODEL).astype(int) - 127).max() <= 3


def test_a_needle_costs_no_more_than_a_square():
    needle = np.zeros((8, 400_000, 3), dtype=np.uint8)
    for mode in ("shortest", "longest", "squash"):
        crops = cut_crops(needle, [whole(needle)], replace(MODEL, resize_mode=mode))
        assert crops.shape == (1, 64, 64, 3)


@st.composite
def boxes_in_images(draw):
    width, height = draw(st.integers(1, 500)), draw(st.integers(1, 500))
    w, h = draw(st.integers(1, width)), draw(st.integers(1, height))
    return (
        Box(draw(st.integers(0, width - w)), draw(st.integers(0, height - h)), w, h),
        width,
        height,
    )


@given(boxes_in_images())
def test_a_widened_box_holds_the_old_one_and_stays_inside(case):
    box, width, height = case
    wide = widened(box, width, height)
    assert wide.inside(width, height)
    assert wide.intersection(box) == box.area
    assert wide.w == min(max(box.w, box.h), width) and wide.h == min(max(box.w, box.h), height)
    assert widened(wide, width, height) == wide


def test_a_widened_box_keeps_its_middle_where_there_is_room():
    assert widened(Box(100, 100, 60, 20), 640, 480) == Box(100, 80, 60, 60)
    assert widened(Box(100, 5, 60, 20), 640, 480) == Box(100, 0, 60, 60)
    assert widened(Box(0, 100, 20, 100), 640, 480) == Box(0, 100, 100, 100)
    assert widened(Box(0, 10, 600, 20), 640, 480) == Box(0, 0, 600, 480)
