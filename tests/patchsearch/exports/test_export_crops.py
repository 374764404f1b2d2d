"""Crops are the pixels of the box, and a photo that is gone costs its own crops alone."""

from __future__ import annotations

import csv
import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import Box, errors
from patchsearch.exports import SetItem
from patchsearch.exports.crops import write_crops
from patchsearch.exports.csv_table import read_csv
from patchsearch.exports.formats import FORMATS, ExportRequest, format_named
from patchsearch.photo_reader import PhotoReader


def entries(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_crop_is_the_pixels_of_its_box(photos: list[SetItem], tmp_path: Path) -> None:
    stream, told = io.BytesIO(), []
    failed = write_crops(
        photos,
        stream,
        PhotoReader([tmp_path]),
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert failed == []
    assert told == [(2, 4), (4, 4)]
    held = entries(stream.getvalue())
    rows = list(csv.DictReader(io.StringIO(held["items.csv"].decode())))
    assert read_csv(io.BytesIO(held["items.csv"])) == photos
    for row, item in zip(rows, photos, strict=True):
        crop = np.asarray(Image.open(io.BytesIO(held[row["file"]])))
        box = item.box
        whole = np.asarray(Image.open(item.uri))
        assert np.array_equal(crop, whole[box.y : box.bottom, box.x : box.right])


def test_jpeg_is_asked_for(photos: list[SetItem], tmp_path: Path) -> None:
    stream = io.BytesIO()
    write_crops(photos, stream, PhotoReader([tmp_path]), picture_format="jpeg")
    held = entries(stream.getvalue())
    crops = [name for name in held if name.startswith("crops/")]
    assert len(crops) == 4 and all(name.endswith(".jpg") for name in crops)
    assert Image.open(io.BytesIO(held[crops[0]])).format == "JPEG"


def test_photos_that_are_lost_changed_or_broken_are_told(
    photos: list[SetItem], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff but no more")
    lost = [
        dataclasses.replace(photos[0], image_id="lost", uri=str(tmp_path / "gone.jpg")),
        dataclasses.replace(photos[0], image_id="broken", uri=str(tmp_path / "broken.jpg")),
        dataclasses.replace(photos[0], image_id="changed", width=62),
        dataclasses.replace(photos[0], image_id="elsewhere", uri="/etc/hostname"),
        dataclasses.replace(photos[0], image_id="nowhere", uri=""),
    ]
    stream = io.BytesIO()
    failed = write_crops([*lost, photos[0]], stream, PhotoReader([tmp_path]))
    assert [(item.image_id, error.reason) for item, error in failed] == [
        ("lost", "PHOTO_MISSING"),
        ("broken", "IMAGE_UNDECODABLE"),
        ("changed", "IMAGE_CHANGED"),
        ("elsewhere", "PHOTO_NOT_ALLOWED"),
        ("nowhere", "PHOTO_NOT_ALLOWED"),
    ]
    held = entries(stream.getvalue())
    assert len([name for name in held if name.startswith("crops/")]) == 1
    assert len(read_csv(io.BytesIO(held["items.csv"]))) == 6


def test_the_same_place_twice_is_two_files(photos: list[SetItem], tmp_path: Path) -> None:
    stream = io.BytesIO()
    write_crops([photos[0], photos[0]], stream, PhotoReader([tmp_path]))
    assert len(entries(stream.getvalue())) == 3


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_menu_writes(name: str, photos: list[SetItem], tmp_path: Path) -> None:
    made = format_named(name)
    request = ExportRequest(photos, "rare things", PhotoReader([tmp_path]))
    target = tmp_path / f"set{made.suffix}"
    assert made.write(request, target) == []
    assert target.stat().st_size > 100
    without = ExportRequest(photos)
    if made.needs_photos:
        with pytest.raises(errors.InvalidArgument) as refused:
            made.write(without, target)
        assert refused.value.reason == "PHOTOS_NEEDED"
    else:
        assert made.write(without, target) == []


def test_an_unknown_format_names_those_there_are() -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        format_named("docx")
    assert refused.value.reason == "EXPORT_FORMAT_UNKNOWN"
    assert "label-studio" in str(refused.value)


def test_crops_say_which_items_have_none(tmp_path: Path) -> None:
    lost = SetItem("lost.jpg", str(tmp_path / "lost.jpg"), 9, 9, Box(0, 0, 9, 9))
    request = ExportRequest([lost], "", PhotoReader([tmp_path]))
    (warning,) = format_named("crops").write(request, tmp_path / "crops.zip")
    assert "lost.jpg" in warning and "PHOTO_MISSING" in warning
