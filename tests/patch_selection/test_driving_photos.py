"""The presets on real driving photos: how many patches, and how many signs they hold."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from patch_selection.calibrate import main as calibrate_main
from patch_selection.saliency import RgbImage, load_saliency
from patch_selection.selection import Selection, select_batch
from patch_selection.selectors import SELECTORS
from patchsearch.geometry import Box
from training.simplenet.photos import is_held_out

REPOSITORY = Path(__file__).resolve().parents[2]
GTSDB = Path(os.environ.get("PATCHSEARCH_DATA", REPOSITORY.parent / "shared")) / "data" / "gtsdb"
EVERY = 4
SMALLEST_OBJECT_PX = 391  # 3000 px in a photo of 3848 x 2168

pytestmark = pytest.mark.skipif(
    not (GTSDB / "annotations.json").exists(), reason=f"no GTSDB photos in {GTSDB}"
)


@dataclass(frozen=True)
class Photos:
    paths: list[Path]
    pixels: list[RgbImage]
    objects: list[list[Box]]


@pytest.fixture(scope="module")
def photos() -> Photos:
    table = json.loads((GTSDB / "annotations.json").read_text())
    entries = sorted(table["images"], key=lambda entry: entry["id"])[::EVERY]
    boxes: dict[int, list[Box]] = {entry["id"]: [] for entry in entries}
    for annotation in table["annotations"]:
        box = Box(*(round(edge) for edge in annotation["bbox"]))
        if annotation["image_id"] in boxes and box.area >= SMALLEST_OBJECT_PX:
            boxes[annotation["image_id"]].append(box)
    paths = [GTSDB / entry["file_name"] for entry in entries]
    pixels = [np.asarray(cv2.imread(str(p), cv2.IMREAD_COLOR_RGB), np.uint8) for p in paths]
    return Photos(paths, pixels, [boxes[entry["id"]] for entry in entries])


def captured_share(selections: list[Selection], objects: list[list[Box]]) -> float:
    """Objects of which a patch holds half, and that cover a twentieth of the patch."""
    captured = [
        any(
            patch.box.intersection(box) >= 0.5 * box.area
            and patch.box.intersection(box) >= 0.05 * patch.box.area
            for patch in selection.patches
        )
        for selection, boxes in zip(selections, objects, strict=True)
        for box in boxes
    ]
    return sum(captured) / len(captured)


def unseen(photos: Photos) -> Photos:
    """Those that no training saw."""
    kept = [at for at, path in enumerate(photos.paths) if is_held_out(path.name)]
    columns = (photos.paths, photos.pixels, photos.objects)
    return Photos(*([column[at] for at in kept] for column in columns))  # type: ignore[arg-type]


# What is measured on all photos, and on all that no training saw, is in docs.
@pytest.mark.parametrize(
    ("saliency", "name", "fewest", "most", "share"),
    [
        ("simplenet-mini", "baseline-filtered", 15, 35, 0.45),
        ("simplenet-mini", "hierarchical-filtered", 25, 35, 0.80),
        ("spectral-residual", "baseline-unfiltered", 144, 144, 0.45),
        ("spectral-residual", "baseline-filtered", 20, 35, 0.40),
        ("spectral-residual", "multisize-filtered", 30, 35, 0.62),
        ("spectral-residual", "hierarchical-filtered", 25, 35, 0.62),
    ],
)
def test_presets_capture_signs_with_few_patches(
    photos: Photos, saliency: str, name: str, fewest: int, most: int, share: float
) -> None:
    if saliency == "simplenet-mini":
        photos = unseen(photos)
    selections = select_batch(photos.pixels, load_saliency(saliency), SELECTORS[name])
    counts = [len(selection.patches) for selection in selections]
    assert fewest <= np.mean(counts) <= most
    assert not any(selection.warnings for selection in selections)
    assert captured_share(selections, photos.objects) >= share


def test_calibration_can_be_fitted_again(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "table.json"
    options = ["--saliency", "spectral-residual", "--output", str(output)]
    assert calibrate_main([*map(str, photos.paths[::6]), *options]) == 0
    assert json.loads(output.read_text())["fitted_on_photos"] == 10
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SELECTORS)
    assert calibrate_main([str(tmp_path / "missing.jpg")]) == 2
    assert "missing.jpg" in capsys.readouterr().err
