"""A small study's photos and patches, and an encoder that knows nothing but colours."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.scenes import CATEGORIES, HELDOUT_STYLES, generate_scene
from evaluation.study.embedding import Embedder
from evaluation.study.model import PatchTable, StudyDataset, StudyObject, StudyPhoto
from patchsearch.geometry import Box

SIZE = (640, 360)
LEVEL = "grid"

_SIDES = (128, 64)
_BINS = 4
_DIM = 128


class FakeColourEmbedder:
    """Crops: a random projection of their colour histogram. Texts: a vector of their bytes."""

    name = "fake-colours"
    fingerprint = "fake-colours-1"

    def __init__(self) -> None:
        self._projection = np.random.default_rng(1).normal(size=(_BINS**3, _DIM))

    def crops(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        rows = np.zeros((len(crops), _BINS**3))
        for row, crop in zip(rows, crops, strict=True):
            bins = (crop.reshape(-1, 3) // (256 // _BINS)) @ np.array([_BINS**2, _BINS, 1])
            row[:] = np.sqrt(np.bincount(bins, minlength=_BINS**3) / len(bins))
        return _unit(rows @ self._projection)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [zlib.crc32(text.encode()) for text in texts]
        rows = [np.random.default_rng(seed).normal(size=_DIM) for seed in seeds]
        return _unit(np.array(rows).reshape(-1, _DIM))


def small_scenes(folder: Path, count: int) -> StudyDataset:
    """Scenes of 640 x 360 pixels as a data set; their photos are written to `folder`."""
    photos = []
    for i in range(count):
        scene = generate_scene(90_000_000 + i, HELDOUT_STYLES[i % len(HELDOUT_STYLES)], *SIZE)
        path = folder / f"scene-{i:02d}.jpg"
        Image.fromarray(scene.pixels).save(path, quality=92)
        objects = tuple(StudyObject(o.category, o.box, counted=True) for o in scene.objects)
        photos.append(StudyPhoto(path.name, path, *SIZE, objects))
    return StudyDataset("small-scenes", tuple(photos), CATEGORIES, {})


def tables_of(dataset: StudyDataset, embedder: Embedder) -> dict[str, PatchTable]:
    """The whole photos, and windows of two sizes in half steps."""
    whole = [Box(0, 0, *SIZE)]
    grid = [
        Box(x, y, side, side)
        for side in _SIDES
        for y in range(0, SIZE[1] - side + 1, side // 2)
        for x in range(0, SIZE[0] - side + 1, side)
    ]
    return {
        "image": _table(dataset, embedder, whole),
        LEVEL: _table(dataset, embedder, grid),
    }


def _table(dataset: StudyDataset, embedder: Embedder, boxes: Sequence[Box]) -> PatchTable:
    vectors = []
    for photo in dataset.photos:
        pixels = np.array(Image.open(photo.path))
        crops = [pixels[box.y : box.bottom, box.x : box.right] for box in boxes]
        vectors.append(embedder.crops(crops).astype(np.float16))
    n = len(dataset.photos) * len(boxes)
    return PatchTable(
        np.repeat(np.arange(len(dataset.photos), dtype=np.int32), len(boxes)),
        np.tile(np.array([(b.x, b.y, b.w, b.h) for b in boxes], np.int32), (len(vectors), 1)),
        np.ones(n, np.int32),
        np.zeros(n, np.float32),
        np.concatenate(vectors),
    )


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
