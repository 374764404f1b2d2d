"""From a folder to a data set: what is wrong in it is counted, and nothing crashes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.scenes import CATEGORIES, TARGET_CLASSES
from evaluation.study.loading import (
    dataset_digest,
    load_dataset,
    smallest_counted_area,
    without_photos,
)
from evaluation.study.problems import KINDS, MOST_EXAMPLES
from patchsearch.errors import InvalidArgument, NotFound
from patchsearch.geometry import Box

SIZE = (300, 200)


def put_photo(path: Path, size: tuple[int, int] = SIZE, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def put_dataset(folder: Path, **changes: Any) -> Path:
    document: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 300, "height": 200}],
        "categories": [{"id": 5, "name": "moose"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [10, 20, 50, 60]}],
    }
    (folder / "annotations.json").write_text(json.dumps(document | changes))
    return folder


def box(*bbox: Any, **more: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 5, "bbox": list(bbox), **more}


def test_a_sound_folder_has_no_problems(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    told: list[tuple[int, int]] = []
    dataset = load_dataset(
        put_dataset(tmp_path), on_photo=lambda done, total: told.append((done, total))
    )
    assert (dataset.name, dataset.problems, dataset.examples) == (tmp_path.name, {}, {})
    assert (dataset.categories, dataset.groups) == (("moose",), {})
    (photo,) = dataset.photos
    assert (photo.name, photo.width, photo.height) == ("a.jpg", *SIZE)
    (thing,) = photo.objects
    assert (thing.category, thing.box, thing.counted) == ("moose", Box(10, 20, 50, 60), True)
    assert told == [(1, 1)]


def test_the_annotations_may_be_named_themselves_and_photos_lie_beside_them(tmp_path: Path) -> None:
    put_photo(tmp_path / "drive 1" / "Größe.png")
    put_dataset(tmp_path, images=[{"id": 1, "file_name": "drive 1/Größe.png"}])
    assert load_dataset(tmp_path / "annotations.json").photos[0].name == "drive 1/Größe.png"


BOXES = {
    "box_empty": [box(10, 10, 0, 5), box(10, 10, -3, 5), box(10.1, 10, 0.2, 5)],
    "box_outside_photo": [box(300, 10, 20, 20), box(-50, 10, 50, 20), box(5, 1e6, 9, 9)],
    "box_clipped": [box(-5, -5, 100, 100), box(280, 10, 40, 40)],
    "object_entry_invalid": [
        box(1, 2, 3),
        box(1, 2, 3, "4 px"),
        box(1, 2, math.nan, 4),
        box(1, 2, math.inf, 4),
        box(1, 2, 10**400, 4),
        {"image_id": 1, "category_id": 5},
        {"image_id": 1, "category_id": 5, "bbox": {"x": 1}},
        "an annotation",
        None,
    ],
    "object_of_unknown_photo": [box(1, 2, 30, 40, image_id=9), box(1, 2, 30, 40, image_id=[1])],
    "object_of_unknown_category": [
        box(1, 2, 30, 40, category_id=6),
        {**box(1, 2, 30, 40), "category_id": None},
    ],
}


@pytest.mark.parametrize("kind", BOXES)
def test_boxes_that_are_no_use_are_counted(tmp_path: Path, kind: str) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    dataset = load_dataset(put_dataset(tmp_path, annotations=[*BOXES[kind], box(1, 2, 30, 40)]))
    assert dataset.problems == {kind: len(BOXES[kind])}
    assert len(dataset.examples[kind]) == min(len(BOXES[kind]), MOST_EXAMPLES)
    kept = [one.box for one in dataset.photos[0].objects]
    clipped = [Box(0, 0, 95, 95), Box(280, 10, 20, 40)] if kind == "box_clipped" else []
    assert kept == [*clipped, Box(1, 2, 30, 40)]


def test_a_box_that_is_rounded_out_of_its_photo_is_no_problem(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    dataset = load_dataset(put_dataset(tmp_path, annotations=[box(-0.5, 0, 300.9, 200.4)]))
    assert dataset.problems == {}
    assert dataset.photos[0].objects[0].box == Box(0, 0, 300, 200)


def test_photos_that_are_no_use_are_counted(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    put_photo(tmp_path / "images" / "small.png", (40, 7))
    put_photo(tmp_path.parent / "beside.jpg")
    (tmp_path / "images" / "text.jpg").write_text("no photo")
    (tmp_path / "images" / "empty.jpg").write_bytes(b"")
    Image.new("1", (9000, 8000)).save(tmp_path / "images" / "huge.png")
    entries: list[Any] = [
        {"id": 1, "file_name": "a.jpg", "width": 301, "height": 200},
        {"id": 1, "file_name": "again.jpg"},
        {"id": 2, "file_name": "a.jpg"},
        {"id": 3, "file_name": "missing.jpg"},
        {"id": 4, "file_name": "text.jpg"},
        {"id": 5, "file_name": "empty.jpg"},
        {"id": 6, "file_name": "small.png"},
        {"id": 7, "file_name": "huge.png"},
        {"id": 8, "file_name": "../../beside.jpg"},
        {"id": 9, "file_name": str(tmp_path.parent / "beside.jpg")},
        {"id": 10, "file_name": "a\0.jpg"},
        {"id": 11, "file_name": "x" * 5000},
        {"id": 12},
        {"file_name": "a.jpg"},
        {"id": [13], "file_name": "a.jpg"},
        "a photo",
    ]
    categories: list[Any] = [
        {"id": 5, "name": "moose"},
        {"id": 5, "name": "elk"},
        {"id": 6},
        {"name": "deer"},
        7,
    ]
    dataset = load_dataset(
        put_dataset(
            tmp_path,
            images=entries,
            categories=categories,
            annotations=[box(1, 2, 30, 40, image_id=2)],
        )
    )
    assert dataset.problems == {
        "photo_entry_invalid": 4,
        "photo_listed_twice": 1,
        "photo_id_repeated": 1,
        "photo_outside_folder": 3,
        "photo_missing": 2,
        "photo_undecodable": 2,
        "photo_too_large": 1,
        "photo_too_small": 1,
        "photo_size_differs": 1,
        "category_invalid": 3,
        "category_repeated": 1,
    }
    assert set(dataset.problems) | set(BOXES) == set(KINDS)
    assert dataset.categories == ("moose",)
    assert dataset.examples["photo_size_differs"] == ("a.jpg is 300x200, not 301x200",)
    (photo,) = dataset.photos
    assert [one.box for one in photo.objects] == [Box(1, 2, 30, 40)]


def test_boxes_are_of_the_upright_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    put_photo(tmp_path / "images" / "a.jpg", exif=exif)
    dataset = load_dataset(
        put_dataset(tmp_path, images=[{"id": 1, "file_name": "a.jpg"}], annotations=[])
    )
    assert (dataset.photos[0].width, dataset.photos[0].height) == (200, 300)


def test_crowds_and_small_objects_are_there_but_not_counted(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    least = smallest_counted_area(*SIZE)
    assert least == pytest.approx(25.53, abs=0.01)
    assert smallest_counted_area(3848, 2168) == smallest_counted_area(2168, 3848) == 3000
    dataset = load_dataset(
        put_dataset(
            tmp_path,
            annotations=[box(1, 1, 5, 5), box(1, 1, 2, 13), box(1, 1, 90, 90, iscrowd=1)],
        )
    )
    assert [one.counted for one in dataset.photos[0].objects] == [False, True, False]
    assert dataset.problems == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "[" * 100_000,
        '{"images": []}',
        '{"images": [], "annotations": {}, "categories": []}',
        '{"images": [{"name": 1}], "annotations": [], "categories": []}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InvalidArgument, match=r"annotations\.json is not a COCO") as caught:
        load_dataset(tmp_path)
    assert caught.value.reason == "ANNOTATIONS_INVALID"


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotFound, match=r"annotations\.json in COCO's format") as caught:
            load_dataset(place)
        assert caught.value.reason == "DATASET_MISSING"


def test_a_data_set_without_a_usable_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"1 photos, none .*photo_missing: 1") as caught:
        load_dataset(put_dataset(tmp_path))
    assert caught.value.reason == "DATASET_EMPTY"


def test_a_limit_takes_photos_from_all_over(tmp_path: Path) -> None:
    for i in range(10):
        put_photo(tmp_path / "images" / f"{i}.png", (20, 20))
    put_dataset(
        tmp_path, images=[{"id": i, "file_name": f"{i}.png"} for i in range(10)], annotations=[]
    )
    some = load_dataset(tmp_path, limit=4)
    assert [photo.name for photo in some.photos] == ["0.png", "2.png", "5.png", "7.png"]
    assert len(load_dataset(tmp_path, limit=99).photos) == 10


def test_the_categories_of_scenes_bring_their_groups(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    named = [{"id": i, "name": name} for i, name in enumerate(CATEGORIES)]
    dataset = load_dataset(put_dataset(tmp_path, categories=named))
    assert dataset.groups == dict(TARGET_CLASSES)


def test_the_digest_tells_photos_and_objects_apart(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a.jpg")
    first = dataset_digest(load_dataset(put_dataset(tmp_path)))
    assert dataset_digest(load_dataset(put_dataset(tmp_path))) == first
    moved = dataset_digest(load_dataset(put_dataset(tmp_path, annotations=[box(1, 2, 30, 40)])))
    put_photo(tmp_path / "images" / "a.jpg", quality=30)
    assert len({first, moved, dataset_digest(load_dataset(put_dataset(tmp_path)))}) == 3


def test_photos_that_turn_out_broken_are_taken_out(tmp_path: Path) -> None:
    for i in range(3):
        put_photo(tmp_path / "images" / f"{i}.png", (20, 20))
    put_dataset(
        tmp_path,
        images=[{"id": i, "file_name": f"{i}.png"} for i in (*range(3), 9)],
        annotations=[],
    )
    dataset = load_dataset(tmp_path)
    assert without_photos(dataset, {}) is dataset
    rest = without_photos(dataset, {1: "photo_undecodable", 0: "photo_missing"})
    assert [photo.name for photo in rest.photos] == ["2.png"]
    assert rest.problems == {"photo_missing": 2, "photo_undecodable": 1}
    assert rest.examples["photo_missing"] == ("9.png", "0.png")
    with pytest.raises(InvalidArgument, match="can be decoded"):
        without_photos(rest, {0: "photo_undecodable"})
