"""Reading COCO annotations, and judging patches by them."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.truth import read_coco
from patchsearch import Box
from patchsearch.errors import InvalidArgument


def document(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 5, "name": "moose"}, {"id": 6, "name": "van"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 5, "bbox": [10.4, 20, 50, 50], "visible": 0.5},
            {"id": 2, "image_id": 1, "category_id": 6, "bbox": [200, 0, 50, 50], "iscrowd": 1},
        ],
    }
    return whole | changes


def written(folder: Path, content: Any) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_objects_are_found_by_photo_and_crowds_are_left_out(tmp_path: Path) -> None:
    truth = read_coco(written(tmp_path, document()))
    (thing,) = truth.objects["a.jpg"]
    assert (thing.category, thing.box, thing.visible) == ("moose", Box(10, 20, 50, 50), 0.5)
    assert truth.objects["b.jpg"] == []
    assert truth.folder == tmp_path / "images"
    assert [name for name, _ in truth.of(["moose"])] == ["a.jpg"]


def test_a_patch_shows_what_it_captures(tmp_path: Path) -> None:
    truth = read_coco(written(tmp_path, document()))
    assert truth.shows("a.jpg", Box(0, 0, 100, 100), ["moose"])
    assert not truth.shows("a.jpg", Box(0, 0, 100, 100), ["van"])
    assert not truth.shows("a.jpg", Box(40, 0, 100, 100), ["moose"])
    assert not truth.shows("a.jpg", Box(0, 0, 300, 300), ["moose"])
    assert not truth.shows("missing.jpg", Box(0, 0, 100, 100), ["moose"])


@pytest.mark.parametrize("broken", [[], {"images": []}, document(annotations=[{"image_id": 9}])])
def test_anything_else_is_refused_with_its_name(tmp_path: Path, broken: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"annotations\.json is not a COCO") as caught:
        read_coco(written(tmp_path, broken))
    assert caught.value.reason == "ANNOTATIONS_INVALID"
