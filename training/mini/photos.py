"""Real photos with boxes: folders with `annotations.json` in COCO's format, or with photos only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchsearch.geometry import Box
from training.mini.holdout import held_out

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Thing:
    """An object: its box within the photo, the name of its class, and the shorter side of the box
    as it was annotated, pixels."""

    box: Box
    name: str
    short: float


@dataclass(frozen=True)
class Photo:
    """One photo of a data set."""

    dataset: str
    path: Path
    things: tuple[Thing, ...]

    @property
    def held_out(self) -> bool:
        """Whether training must not see it."""
        return held_out(self.path.name)

    def read(self) -> Pixels:
        """RGB `(h, w, 3) uint8`."""
        with Image.open(self.path) as image:
            return np.asarray(image.convert("RGB"))


def photos(folder: Path) -> list[Photo]:
    """The photos of a data set, ordered by path. Boxes are clipped to the photo, empty ones and
    crowds are left out. Raises FileNotFoundError where there is neither annotation nor photo."""
    listing = folder / "annotations.json"
    if not listing.is_file():
        found = sorted(folder.rglob("*.jpg"))
        if not found:
            raise FileNotFoundError(f"{folder} holds neither annotations.json nor *.jpg")
        return [Photo(folder.name, path, ()) for path in found]
    data = json.loads(listing.read_text(encoding="utf-8"))
    names = {row["id"]: str(row["name"]) for row in data["categories"]}
    things: dict[int, list[Thing]] = {row["id"]: [] for row in data["images"]}
    sizes = {row["id"]: (int(row["width"]), int(row["height"])) for row in data["images"]}
    for row in data["annotations"]:
        x, y, w, h = (float(v) for v in row["bbox"])
        if row.get("iscrowd") or w < 1 or h < 1:
            continue
        box = Box(int(x), int(y), int(np.ceil(x + w)) - int(x), int(np.ceil(y + h)) - int(y))
        clipped = box.clipped(*sizes[row["image_id"]])
        if clipped.area:
            things[row["image_id"]].append(Thing(clipped, names[row["category_id"]], min(w, h)))
    out = [
        Photo(folder.name, folder / row["file_name"], tuple(things[row["id"]]))
        for row in data["images"]
    ]
    return sorted(out, key=lambda photo: photo.path)


@dataclass(frozen=True)
class Crop:
    """The pixels of one object's box."""

    pixels: Pixels
    name: str
    photo: Photo


def object_crops(found: Sequence[Photo], least: int) -> Iterator[Crop]:
    """The boxes whose shorter side has `least` px or more, cut as they are."""
    for photo in found:
        wanted = [t for t in photo.things if t.short >= least]
        if not wanted:
            continue
        pixels = photo.read()
        for thing in wanted:
            b = thing.box
            yield Crop(pixels[b.y : b.bottom, b.x : b.right].copy(), thing.name, photo)
