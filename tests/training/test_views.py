"""Reading photos with boxes, cutting views of them, and drawing batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.mini.holdout import held_out
from training.mini.patches import STORED
from training.mini.photo_batches import ViewStore
from training.mini.photos import Photo, object_crops, photos
from training.mini.views import Teachers, views, write_views
from training.mini.words import Conse

NAMES = [f"{n}.jpg" for n in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve noise photos of 120 x 80 px in a data set named `gtsdb`."""
    root = tmp_path_factory.mktemp("data") / "gtsdb"
    root.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (80, 120, 3), dtype=np.uint8)).save(root / name)
    boxes = [[10.4, 5.2, 30.0, 25.0], [110, 70, 40, 40], [5, 5, 0, 10], [50, 40, 16, 16]]
    listing = {
        "categories": [{"id": 7, "name": "stop"}],
        "images": [
            {"id": n, "file_name": name, "width": 120, "height": 80} for n, name in enumerate(NAMES)
        ],
        "annotations": [
            {"image_id": n, "category_id": 7, "bbox": box, "iscrowd": int(box[0] == 50)}
            for n in range(len(NAMES))
            for box in boxes
        ],
    }
    (root / "annotations.json").write_text(json.dumps(listing))
    return root


def test_boxes_are_clipped_and_empty_ones_and_crowds_left_out(folder: Path) -> None:
    found = photos(folder)
    assert [p.path.name for p in found] == sorted(NAMES)
    first, second = found[0].things
    assert (first.box.x, first.box.y, first.box.w, first.box.h) == (10, 5, 31, 26)
    assert (second.box.w, second.box.h, second.short) == (10, 10, 40)
    assert first.name == "stop" and first.short == 25
    crops = list(object_crops(found[:2], 26))
    assert [c.pixels.shape for c in crops] == [(10, 10, 3)] * 2


def test_a_folder_without_annotations_is_photos_only(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg")
    assert [p.things for p in photos(tmp_path)] == [()]
    with pytest.raises(FileNotFoundError, match="neither"):
        photos(tmp_path / "nothing")


def test_views_lie_in_the_photo_and_say_what_they_show(folder: Path) -> None:
    photo = photos(folder)[0]
    found = list(views(photo, (120, 80), np.random.default_rng(0)))
    assert {name for _, name in found} == {"stop", ""}
    for box, _ in found:
        assert box.x >= 0 and box.y >= 0 and box.right <= 120 and box.bottom <= 80


class StandInNet:
    """Stands in for a TFLite net: the mean colour, spread over so many outputs."""

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return np.resize(pixels.mean((0, 1)) / 255, self._outputs).astype(np.float32)


def test_views_are_stored_and_drawn_again(folder: Path, tmp_path: Path) -> None:
    teachers = Teachers(StandInNet(1001), StandInNet(1024))  # type: ignore[arg-type]
    seen = [p for p in photos(folder) if not p.held_out]
    assert 0 < len(seen) < len(NAMES)
    write_views(tmp_path, "views-0", seen, teachers, np.random.default_rng(0))
    conse = Conse(np.random.default_rng(1).standard_normal((1001, 512)).astype(np.float32))
    store = ViewStore(tmp_path, conse)
    assert store.pixels.shape == (len(store), STORED, STORED, 3)
    batch = store.draw(16, 96, np.random.default_rng(2))
    assert batch.pixels.shape == (16, 96, 96, 3)
    assert set(batch.name[batch.sign]) == {"stop"}
    assert set(batch.name[~batch.sign]) <= {""}
    assert np.allclose(np.linalg.norm(batch.vector, axis=1), 1, atol=1e-3)
    assert np.abs(batch.feature[batch.sign]).sum() > 0


def test_a_photo_that_is_held_out_is_never_written(folder: Path, tmp_path: Path) -> None:
    kept: list[Photo] = [p for p in photos(folder) if held_out(p.path.name)]
    teachers = Teachers(StandInNet(1001), StandInNet(1024))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="held out"):
        write_views(tmp_path, "views-0", kept[:1], teachers, np.random.default_rng(0))
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="build-photos"):
        ViewStore(tmp_path, Conse(np.zeros((1001, 512), np.float32)))
