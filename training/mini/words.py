"""The space both towers aim at: CLIP ViT-B/32's text vectors of some names, centred.

Names with vectors come from the folder of genuine CLIP vectors; a class distribution of the
ImageNet teacher becomes a vector of the same space by ConSE (Norouzi et al. 2014).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SOURCES: tuple[tuple[str, str], ...] = (
    ("lvis_v1_clip_a+cname.npy", "lvis_names.json"),
    ("oid_clip_a+cname.npy", "oid_names.json"),
    ("o365_clip_a+cnamefix.npy", "o365_names.json"),
)
"""Files of vectors, each with the names of its rows."""

COCO = "coco_clip_a+cname.npy"
"""Vectors of COCO's 80 classes, whose names are those of a COCO annotation file, by id."""

CONSE = "imagenet1001_to_clip_vitb32.npz"

TOP = 10
"""Classes that a ConSE vector is made of."""

WORD_TEMPLATES = (
    "{}",
    "{}",
    "a {}",
    "a photo of a {}",
    "a photo of the {}",
    "a picture of a {}",
    "a crop of a {}",
    "a close up of a {}",
    "an image showing a {}",
    "a small {}",
    "a large {}",
    "there is a {}",
    "find a {}",
    "the {}",
)
"""Texts that mean their noun and no more."""


@dataclass(frozen=True)
class Words:
    """`names` and their centred unit vectors `(n, 512) float32`, and the `mean` they lost."""

    names: tuple[str, ...]
    vectors: Floats
    mean: Floats

    def rows(self) -> Mapping[str, int]:
        """The row of each name."""
        return {name: row for row, name in enumerate(self.names)}


@dataclass(frozen=True)
class Conse:
    """Class vectors `(1001, 512)` in the space of `Words`; rows of zeros where there is none."""

    classes: Floats

    def __call__(self, distribution: Floats) -> tuple[Floats, Floats]:
        """Unit vectors `(n, 512)` of distributions `(n, 1001)`, and how much of each distribution
        they stand for `(n,)`, 0 to 1."""
        known = distribution * np.any(self.classes != 0, axis=1)
        least = -np.partition(-known, TOP - 1, axis=1)[:, TOP - 1 : TOP]
        known = np.where(known >= np.maximum(least, 1e-6), known, 0)
        return unit(known @ self.classes), known.sum(axis=1)


def clean(name: str) -> str:
    """A name as one writes it: small letters, no underscores, nothing in brackets."""
    plain = re.sub(r"\(.*?\)", " ", name.replace("_", " ")).lower()
    return " ".join(plain.replace("/", " or ").split())


def unit(rows: Floats) -> Floats:
    """Rows of length one; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9))


def load_words(folder: Path, conse: Path, coco_names: tuple[str, ...]) -> Words:
    """All names of the vector files, each once (the mean of its vectors), COCO's 80 first."""
    found: dict[str, list[Floats]] = {}
    _take(found, coco_names, np.load(folder / COCO))
    for rows, names in SOURCES:
        listed = json.loads((folder / names).read_text(encoding="utf-8"))
        _take(found, listed, np.load(folder / rows))
    mean = np.asarray(np.load(conse)["mu"], np.float32)
    vectors = np.stack([np.mean(same, axis=0) for same in found.values()])
    return Words(tuple(found), unit(vectors - mean).astype(np.float32), mean)


def _take(found: dict[str, list[Floats]], names: list[str] | tuple[str, ...], rows: Floats) -> None:
    for name, row in zip(names, unit(rows.astype(np.float32)), strict=True):
        found.setdefault(clean(name), []).append(row)


def load_conse(path: Path) -> Conse:
    """From the file that lists the CLIP vectors of ImageNet's classes."""
    with np.load(path) as data:
        vectors = data["T"].astype(np.float32) - data["mu"]
        return Conse(np.where(data["how"][:, None] > 0, vectors, 0).astype(np.float32))
