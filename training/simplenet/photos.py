"""Which pictures the bundled saliency model learns from, and which are held out.

The real photos lie in one folder with a folder for every source; the generated scenes are numbered.
A photo is held out if the first 32 bits of the SHA-256 of its file name, as a number, are a
multiple of `HELD_OUT_ONE_IN`; the rule needs no list and stays the same when photos are added.
Scenes are held out by their styles and seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.scenes import TRAINING_STYLES, Scene, generate_scene
from patchsearch.errors import InvalidArgument

HELD_OUT_ONE_IN = 3

SOURCES = (
    ("gtsdb", "images"),
    ("coco128", "images"),
    ("raccoon", "images"),
    ("udacity-road", "test_images"),
)
"""(source, folder of its photos) below the data folder."""

SCENE_SEED = 700_000_000
"""Seed of the first scene of the training set; no other training and no test starts here."""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A real photo: the name of its source, its path, and whether it is held out of training."""

    source: str
    path: Path
    held_out: bool


def is_held_out(file_name: str) -> bool:
    """Whether no training may see the photo of this file name (without folders)."""
    digest = hashlib.sha256(file_name.encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_ONE_IN == 0


def list_photos(data: Path) -> list[PhotoFile]:
    """All photos of `SOURCES` below `data`, sorted by source and name.

    A source that is not there gives none. Raises `InvalidArgument` (PHOTOS_MISSING) without any.
    """
    photos = [
        PhotoFile(source, path, is_held_out(path.name))
        for source, folder in SOURCES
        for path in sorted((data / source / folder).rglob("*.jpg"))
    ]
    if not photos:
        raise InvalidArgument(
            "PHOTOS_MISSING",
            f"no photos below {data}; it must hold one of "
            + ", ".join(f"{source}/{folder}" for source, folder in SOURCES),
        )
    return photos


def read_photo(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB. Raises `InvalidArgument` (IMAGE_UNDECODABLE)."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise InvalidArgument("IMAGE_UNDECODABLE", f"{path} cannot be read as an image")
    return np.asarray(pixels, dtype=np.uint8)


def training_scene(number: int) -> Scene:
    """Training scene `number`, 0 or more, of 1920 x 1080 pixels."""
    return generate_scene(SCENE_SEED + number, TRAINING_STYLES[number % len(TRAINING_STYLES)])


def windows_of(
    width: int, height: int, count: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, int]]:
    """`count` squares (x, y, side) such as the first level of a hierarchical selector hands down.

    Two of three have the side of level 1 (896 px of 2168 px of the short side), the others any
    share of the short side from 0.2 to 0.8; all are at least 64 px, where the picture has them.
    """
    for index in range(count):
        side = window_side(width, height, index, rng)
        yield (
            int(rng.integers(0, width - side + 1)),
            int(rng.integers(0, height - side + 1)),
            side,
        )


def window_side(width: int, height: int, index: int, rng: np.random.Generator) -> int:
    """The side of square number `index` of `windows_of`, pixels."""
    short = min(width, height)
    share = 896 / 2168 if index % 3 < 2 else float(rng.uniform(0.2, 0.8))
    return min(short, max(64, round(share * short)))
