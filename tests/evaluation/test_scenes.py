"""Generated street scenes: what a seed fixes, what the annotations promise, how rare things are."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evaluation.scenes import (
    CATEGORIES,
    HELDOUT_STYLES,
    TARGET_CLASSES,
    TRAINING_STYLES,
    Scene,
    generate_scene,
    write_scenes,
)
from evaluation.scenes.styles import Style

SIZE = (640, 360)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(seed, 1000 + seed % 16, *SIZE) for seed in range(40)]


def test_a_seed_and_style_fix_every_pixel() -> None:
    first, again = generate_scene(7, 3, *SIZE), generate_scene(7, 3, *SIZE)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.objects == again.objects


def test_another_seed_or_style_is_another_scene() -> None:
    scene = generate_scene(7, 3, *SIZE)
    assert not np.array_equal(scene.pixels, generate_scene(8, 3, *SIZE).pixels)
    assert not np.array_equal(scene.pixels, generate_scene(7, 4, *SIZE).pixels)


def test_pixels_are_rgb_of_the_size_asked_for(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.pixels.shape == (SIZE[1], SIZE[0], 3)
        assert scene.pixels.dtype == np.uint8


def test_boxes_lie_in_the_picture_and_hold_what_is_visible(scenes: list[Scene]) -> None:
    for scene in scenes:
        for thing in scene.objects:
            assert thing.category in CATEGORIES
            assert thing.box.inside(*SIZE)
            assert min(thing.box.w, thing.box.h) >= 12
            assert 0.15 <= thing.visible <= 1


def test_rare_things_are_rare_but_there(scenes: list[Scene]) -> None:
    shares = {
        name: np.mean([any(o.category in kinds for o in scene.objects) for scene in scenes])
        for name, kinds in TARGET_CLASSES.items()
    }
    assert all(0.1 <= share <= 0.6 for share in shares.values()), shares


def test_every_category_is_drawn_sooner_or_later(scenes: list[Scene]) -> None:
    counts = Counter(thing.category for scene in scenes for thing in scene.objects)
    # Smaller pictures lose what falls below 12 px, so not all of the rarest need to show up.
    assert len(counts) >= 0.85 * len(CATEGORIES)


def test_training_and_held_out_styles_share_no_number_and_no_look() -> None:
    assert not set(TRAINING_STYLES) & set(HELDOUT_STYLES)
    names = ("car/length", "van/white", "moose/size", "narrows/weight", "sign/rim")
    looks = {
        tuple(Style(number).trait(name, 0, 1) for name in names)
        for number in (*TRAINING_STYLES, *HELDOUT_STYLES)
    }
    assert len(looks) == len(TRAINING_STYLES) + len(HELDOUT_STYLES)


def test_a_written_data_set_is_coco_and_does_not_depend_on_workers(tmp_path: Path) -> None:
    finished: list[int] = []
    one = write_scenes(tmp_path / "one", 2, 5, workers=1, on_scene=finished.append)
    two = write_scenes(tmp_path / "two", 2, 5, workers=2)
    assert sorted(finished) == [0, 1]
    assert one.read_bytes() == two.read_bytes()
    document = json.loads(one.read_text())
    assert [image["file_name"] for image in document["images"]] == [
        "scene-00000.jpg",
        "scene-00001.jpg",
    ]
    for name in ("scene-00000.jpg", "scene-00001.jpg"):
        pictures = [(tmp_path / side / "images" / name).read_bytes() for side in ("one", "two")]
        assert pictures[0] == pictures[1]
    categories = {category["id"]: category["name"] for category in document["categories"]}
    assert list(categories.values()) == list(CATEGORIES)
    assert len({entry["id"] for entry in document["annotations"]}) == len(document["annotations"])
    for entry in document["annotations"]:
        x, y, w, h = entry["bbox"]
        assert entry["category_id"] in categories
        assert x >= 0 and y >= 0 and x + w <= 1920 and y + h <= 1080
        assert entry["area"] == w * h
