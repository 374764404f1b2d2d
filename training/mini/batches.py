"""Batches of stored patches: balanced over categories, augmented, with what each shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.model import ANIMALS, OTHER_SIGNS, WARNING_SIGNS
from training.mini.augment import augment
from training.mini.captions import Contents, states

BACKGROUND = "background"

CUT_ANIMAL = "cut animal"
"""What a patch mainly shows that shows no animal, but a part of one or one that is small: without
many of these a tower learns to see animals, but not whether they are there as a hit must be."""

EMPHASIS: Mapping[str, float] = {
    BACKGROUND: 6.0,
    CUT_ANIMAL: 14.0,
    "ambulance": 4.0,
    "car": 2.5,
    "van": 2.0,
    "truck": 1.5,
    "pedestrian": 1.5,
    **dict.fromkeys(ANIMALS, 3.0),
    **dict.fromkeys(WARNING_SIGNS, 2.0),
    "road-narrows-sign": 8.0,
}
"""How much more often than others patches that mainly show this are drawn (default 1)."""

SAME_GROUP = 0.5
"""Weight of another kind of animal as a match of an animal, against 1 for the same kind."""

_UNFLIPPABLE = frozenset(WARNING_SIGNS + OTHER_SIGNS) - {"road-narrows-sign"}


@dataclass(frozen=True)
class Batch:
    """`pixels (b, size, size, 3) uint8`, what they show, and the image-image targets `(b, b)`."""

    pixels: NDArray[np.uint8]
    contents: Contents
    match: NDArray[np.float32]
    undecided: NDArray[np.bool_]


class PatchStore:
    """All chunks of a folder, pixels left on disk. Call `refresh` to take in chunks added since.

    Not thread-safe.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._pixels: list[NDArray[np.uint8]] = []
        self._place: list[tuple[int, int]] = []
        self._settings: list[Mapping[str, str]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._category: list[NDArray[np.str_]] = []
        self._colour: list[NDArray[np.str_]] = []
        self._mainly: list[str] = []
        self._weights: NDArray[np.float64] = np.zeros(0)

    def __len__(self) -> int:
        return len(self._place)

    def refresh(self) -> int:
        """Take in new complete chunks; returns how many patches there are now."""
        for path in sorted(self._folder.glob("*.npy")):
            if path.stem not in self._known:
                self._known.add(path.stem)
                self._add(path)
        if self._place:
            mainly = np.array(self._mainly)
            names, index, counts = np.unique(mainly, return_inverse=True, return_counts=True)
            share = np.array([EMPHASIS.get(str(n), 1.0) for n in names]) * counts**0.25
            weights = (share / counts)[index]
            self._weights = np.cumsum(weights / weights.sum())
        return len(self)

    def counts(self) -> dict[str, int]:
        """How many patches mainly show each category."""
        names, counts = np.unique(np.array(self._mainly), return_counts=True)
        return {str(n): int(c) for n, c in zip(names, counts, strict=True)}

    def _add(self, path: Path) -> None:
        chunk = len(self._pixels)
        self._pixels.append(np.load(path, mmap_mode="r"))
        rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for index, row in enumerate(rows):
            boxes = np.array([o[1] for o in row["objects"]], np.float32).reshape(-1, 4)
            category = np.array([o[0] for o in row["objects"]], dtype=np.str_)
            inside, cover = shares(boxes)
            state = states(inside, cover)
            shown = np.flatnonzero(state == 1)
            if len(shown):
                main = str(category[shown[np.argmax(cover[shown])]])
            else:
                main = BACKGROUND
            animals = np.isin(category, ANIMALS)
            if (animals & (cover >= 0.01)).any() and not (animals & (state == 1)).any():
                main = CUT_ANIMAL
            self._place.append((chunk, index))
            self._settings.append(row["scene"])
            self._boxes.append(boxes)
            self._category.append(category)
            colours = [str(o[3].get("colour", "")) for o in row["objects"]]
            self._colour.append(np.array(colours, dtype=np.str_))
            self._mainly.append(main)

    def draw(self, count: int, size: int, rng: np.random.Generator) -> Batch:
        """A random batch at `size` px."""
        picks = np.searchsorted(self._weights, rng.random(count) * self._weights[-1])
        pixels = np.empty((count, size, size, 3), np.uint8)
        boxes = []
        for row, pick in enumerate(picks.tolist()):
            chunk, index = self._place[pick]
            may_flip = not _UNFLIPPABLE & set(self._category[pick].tolist())
            stored = np.asarray(self._pixels[chunk][index])
            pixels[row], view = augment(stored, self._boxes[pick], size, may_flip, rng)
            boxes.append(view)
        inside, cover = shares(np.concatenate(boxes))
        contents = Contents(
            patch=np.repeat(np.arange(count), [len(b) for b in boxes]),
            category=np.concatenate([self._category[p] for p in picks]),
            colour=np.concatenate([self._colour[p] for p in picks]),
            state=states(inside, cover),
            cover=cover,
            settings=tuple(self._settings[p] for p in picks),
        )
        return Batch(pixels, contents, *matches(contents))


def shares(boxes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of boxes relative to a patch `(n, 4)`: share of each inside it, share of it each covers."""
    low = np.clip(boxes[:, :2], 0, 1)
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, 1)
    cover = np.prod(np.maximum(high - low, 0), axis=1)
    area = np.maximum(np.prod(boxes[:, 2:], axis=1), 1e-9)
    return (cover / area).astype(np.float32), cover.astype(np.float32)


def matches(contents: Contents) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """For each pair of patches, how well the second shows what the first mainly shows, and whether
    that is undecided. Patches that show nothing match nothing."""
    count = len(contents.settings)
    names, category = np.unique(contents.category, return_inverse=True)
    state = np.zeros((count, len(names)), np.float32)
    np.maximum.at(state, (contents.patch, category), contents.state)
    cover = np.zeros((count, len(names)), np.float32)
    np.maximum.at(cover, (contents.patch, category), contents.cover * (contents.state == 1))
    animals = np.flatnonzero(np.isin(names, ANIMALS))
    main = cover.argmax(axis=1) if len(names) else np.zeros(count, np.int64)
    match = np.zeros((count, count), np.float32)
    undecided = np.zeros((count, count), bool)
    for row in range(count):
        if len(names) and cover[row, main[row]] > 0:
            value = state[:, main[row]]
            if main[row] in animals:
                value = np.maximum(value, 0)
                related = state[:, animals].max(axis=1)
                match[row] = np.maximum(value == 1, SAME_GROUP * (related == 1))
                undecided[row] = (match[row] == 0) & (related == 0.5)
            else:
                match[row] = value == 1
                undecided[row] = value == 0.5
    return match, undecided
