"""Batches of photo views: so many of each kind, augmented, with what the teachers said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.mini.augment import augment
from training.mini.words import Conse

SIGNS, OBJECTS, RACCOONS, WINDOWS = "signs", "objects", "raccoons", "windows"

KINDS: Mapping[str, float] = {SIGNS: 0.42, OBJECTS: 0.38, RACCOONS: 0.04, WINDOWS: 0.16}
"""Share of a batch that is of each kind: boxes of gtsdb, coco128 and raccoon; and windows."""

_KIND_OF = {"gtsdb": SIGNS, "coco128": OBJECTS, "raccoon": RACCOONS}

_UNSEEN = np.zeros((0, 4), np.float32)


@dataclass(frozen=True)
class PhotoBatch:
    """`pixels (b, size, size, 3) uint8`; `name (b,)` of the object, "" for windows; `sign (b,)`;
    `vector (b, 512)` by ConSE with its `weight (b,)`; `feature (b, 1024)`, centred unit rows."""

    pixels: NDArray[np.uint8]
    name: NDArray[np.str_]
    sign: NDArray[np.bool_]
    vector: NDArray[np.float32]
    weight: NDArray[np.float32]
    feature: NDArray[np.float32]


class ViewStore:
    """All chunks of views of a folder, in memory. Not thread-safe.

    Raises FileNotFoundError where there is no complete chunk.
    """

    def __init__(self, folder: Path, conse: Conse) -> None:
        paths = sorted(folder.glob("*.npy"))
        if not paths:
            raise FileNotFoundError(f"{folder} holds no chunk of views; run build-photos first")
        notes = [np.load(path.with_suffix(".npz")) for path in paths]
        self.pixels = np.concatenate([np.load(path) for path in paths])
        self.name: NDArray[np.str_] = np.concatenate([n["name"] for n in notes])
        dataset = np.concatenate([n["dataset"] for n in notes])
        classes = np.concatenate([n["classes"] for n in notes]).astype(np.float32)
        self.vector, self.weight = conse(classes)
        features = np.concatenate([n["features"] for n in notes]).astype(np.float32)
        features -= features.mean(axis=0)
        length = np.linalg.norm(features, axis=1, keepdims=True)
        self.feature = features / np.maximum(length, 1e-6)
        kind = np.array([_KIND_OF.get(str(d), WINDOWS) for d in dataset])
        self.kind = np.where(self.name == "", WINDOWS, kind)
        present = [k for k in KINDS if (self.kind == k).any()]
        self._weights = {k: _balanced(self.name, self.kind == k) for k in present}

    def __len__(self) -> int:
        return len(self.pixels)

    def draw(self, count: int, size: int, rng: np.random.Generator) -> PhotoBatch:
        """`count` random views at `size` px; rare classes more often than their number."""
        share = np.array([KINDS[k] for k in self._weights])
        kinds = rng.choice(list(self._weights), size=count, p=share / share.sum())
        picks = np.array([np.searchsorted(self._weights[k], rng.random()) for k in kinds])
        pixels = np.stack(
            [
                augment(self.pixels[p], _UNSEEN, size, self.kind[p] != SIGNS, rng)[0]
                for p in picks.tolist()
            ]
        )
        return PhotoBatch(
            pixels,
            self.name[picks],
            self.kind[picks] == SIGNS,
            self.vector[picks],
            self.weight[picks],
            self.feature[picks],
        )


def _balanced(name: NDArray[np.str_], mine: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Cumulative chances of the rows that are `mine`; a class's share grows with the square root of
    its number."""
    _, index, counts = np.unique(name[mine], return_inverse=True, return_counts=True)
    chances = np.zeros(len(name))
    chances[mine] = (counts**-0.5)[index]
    return np.cumsum(chances / chances.sum())
