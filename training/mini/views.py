"""Views of real photos for training, with what the teachers say of each.

A chunk holds the views of some photos: `<name>.npy`, `(n, STORED, STORED, 3) uint8`, beside
`<name>.npz`: `name (n,) str` of the object that the view was cut around ("" for a window put
anywhere), `dataset (n,) str`, `classes (n, 1001) float16`, MobileNetV2's distribution, and
`features (n, 1024) float16`, MobileNetV1's embedding of the views of signs (zeros elsewhere). No
photo that `held_out` names is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from patchsearch.geometry import Box
from training.mini.patches import STORED, cut, tight_crop
from training.mini.photos import Photo, photos
from training.mobilenet.tflite import SIDE, TfliteNet

Pixels = NDArray[np.uint8]

DISTRIBUTION = "tf2_mobilenet_v2_1.0_224_ptq.tflite"
EMBEDDING = "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"

FEATURES = 1024
"""Length of MobileNetV1's embedding."""

EMBEDDED = ("gtsdb",)
"""Data sets whose objects are also shown to MobileNetV1: it tells signs apart better."""

PHOTOS_PER_CHUNK = 24


@dataclass(frozen=True)
class Plan:
    """How many views of a data set's photos: of each box whose shorter side has `least` px, and of
    windows anywhere in each photo."""

    around_box: int
    anywhere: int
    least: int = 20


PLANS: Mapping[str, Plan] = {
    "coco128": Plan(around_box=3, anywhere=6, least=24),
    "gtsdb": Plan(around_box=6, anywhere=3, least=14),
    "raccoon": Plan(around_box=3, anywhere=2),
    "udacity-road": Plan(around_box=0, anywhere=10),
}
"""The data sets, by the names of their folders."""


@dataclass(frozen=True)
class Teachers:
    """The two nets that look at every view."""

    distribution: TfliteNet
    embedding: TfliteNet

    @classmethod
    def open(cls, folder: Path) -> Teachers:
        """From the folder of the TFLite files. Raises FileNotFoundError."""
        return cls(TfliteNet(folder / DISTRIBUTION), TfliteNet(folder / EMBEDDING))


def views(
    photo: Photo, size: tuple[int, int], rng: np.random.Generator
) -> Iterator[tuple[Box, str]]:
    """Random boxes of a photo of this `(width, height)`, each with its object's name or ""."""
    plan = PLANS[photo.dataset]
    width, height = size
    for thing in photo.things:
        if min(thing.box.w, thing.box.h) >= plan.least:
            for _ in range(plan.around_box):
                yield tight_crop(thing.box, width, height, rng), thing.name
    short = min(width, height)
    for _ in range(plan.anywhere):
        side = int(short * np.exp(rng.uniform(np.log(0.15), 0)))
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        yield Box(x, y, side, side), ""


def write_views(
    folder: Path, name: str, chunk: Sequence[Photo], teachers: Teachers, rng: np.random.Generator
) -> None:
    """Cut, ask the teachers, and write one chunk; the pixels appear last and whole."""
    pixels, names, datasets, classes, features = [], [], [], [], []
    for photo in chunk:
        if photo.held_out:
            raise ValueError(f"{photo.path} is held out and must not be trained on")
        whole = photo.read()
        for box, thing in views(photo, (whole.shape[1], whole.shape[0]), rng):
            if min(box.w, box.h) < 8:
                continue
            seen = cut(whole, box, SIDE)
            pixels.append(cut(whole, box, STORED))
            names.append(thing)
            datasets.append(photo.dataset)
            classes.append(teachers.distribution(seen))
            signs = photo.dataset in EMBEDDED and thing
            features.append(teachers.embedding(seen) if signs else np.zeros(FEATURES, np.float32))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / f"{name}.npz",
        name=np.array(names),
        dataset=np.array(datasets),
        classes=np.stack(classes).astype(np.float16),
        features=np.stack(features).astype(np.float16),
    )
    partial = folder / f"{name}.partial"
    with partial.open("wb") as file:
        np.save(file, np.stack(pixels))
    os.replace(partial, folder / f"{name}.npy")


def build_views(data: Path, teachers: Path, folder: Path, seed: int) -> None:
    """Views of the training photos of all data sets under `data`, resuming what is there."""
    seen = [p for name in PLANS for p in photos(data / name) if not p.held_out]
    order = np.random.default_rng(seed).permutation(len(seen)).tolist()
    nets = Teachers.open(teachers)
    starts = range(0, len(order), PHOTOS_PER_CHUNK)
    for start in tqdm(starts, desc="views", unit="chunk"):
        name = f"views-{start:04d}"
        if not (folder / f"{name}.npy").exists():
            chunk = [seen[i] for i in order[start : start + PHOTOS_PER_CHUNK]]
            write_views(folder, name, chunk, nets, np.random.default_rng((seed, start)))
