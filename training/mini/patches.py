"""Training patches: which windows of a scene are kept, and how they are stored.

A chunk holds the patches of some scenes: `<name>.npy`, `(n, STORED, STORED, 3) uint8`, beside
`<name>.json` with what each patch shows. Boxes there are `[x, y, w, h]` in units of the patch's
side and may reach beyond it, so that the truth of a text can be recomputed after any cropping.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.scenes import Scene, SceneObject
from patchsearch.geometry import Box

STORED = 144
"""Side of a stored patch, pixels: somewhat more than the model's input, for random crops."""

WINDOW_SHARES = (896 / 2168, 448 / 2168, 224 / 2168)
"""Window sides of the thesis's selectors as shares of the picture's short side (appendix A.1)."""

BACKGROUNDS = 6
"""Windows per scene placed anywhere."""

ORDINARY_OBJECTS = 7
"""At most this many objects of everyday categories per scene; rare ones are all used."""

EVERYDAY = frozenset({"car", "pedestrian", "traffic-light", "bin", "bench", "billboard", "cone"})


@dataclass(frozen=True)
class Patch:
    """Pixels `(STORED, STORED, 3) uint8` and the objects near them, boxes relative to the patch."""

    pixels: NDArray[np.uint8]
    objects: tuple[tuple[SceneObject, tuple[float, float, float, float]], ...]


def window_sides(width: int, height: int) -> tuple[int, ...]:
    """The three window sides for a picture, largest first, at least 64 px."""
    return tuple(max(64, round(share * min(width, height))) for share in WINDOW_SHARES)


def cut(pixels: NDArray[np.uint8], box: Box, side: int = STORED) -> NDArray[np.uint8]:
    """The box with its longer side scaled to `side`, centred on black: `(side, side, 3) uint8`."""
    crop = pixels[box.y : box.bottom, box.x : box.right]
    scale = side / max(box.w, box.h)
    size = max(1, round(box.w * scale)), max(1, round(box.h * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(crop, size, interpolation=how)
    if size == (side, side):
        return np.asarray(scaled, dtype=np.uint8)
    out: NDArray[np.uint8] = np.zeros((side, side, 3), dtype=np.uint8)
    x, y = (side - size[0]) // 2, (side - size[1]) // 2
    out[y : y + size[1], x : x + size[0]] = scaled
    return out


def sample(scene: Scene, rng: np.random.Generator) -> Iterator[Patch]:
    """The training patches of one scene, about 20 to 40, in no particular order."""
    height, width = scene.pixels.shape[:2]
    for box in (*_around_objects(scene, rng), *_anywhere(width, height, rng)):
        yield Patch(cut(scene.pixels, box), _relative(scene.objects, box))


def _around_objects(scene: Scene, rng: np.random.Generator) -> Iterator[Box]:
    height, width = scene.pixels.shape[:2]
    sides = window_sides(width, height)
    everyday = 0
    for index in rng.permutation(len(scene.objects)).tolist():
        obj = scene.objects[index]
        rare = obj.category not in EVERYDAY
        if obj.box.area < 300 or obj.visible < 0.3:
            continue
        everyday += not rare
        if not rare and everyday > ORDINARY_OBJECTS:
            continue
        fitting = [
            side
            for side in sides
            if obj.box.area >= 0.03 * side * side and max(obj.box.w, obj.box.h) <= 1.6 * side
        ]
        for side in fitting:
            for _ in range(2 if rare else 1):
                yield _window_holding(obj.box, side, width, height, rng)
        if fitting and (rare or rng.random() < 0.5):
            yield tight_crop(obj.box, width, height, rng)


def _window_holding(box: Box, side: int, width: int, height: int, rng: np.random.Generator) -> Box:
    """A window of `side` px that holds the box's centre, at a random place."""
    centre = box.x + box.w / 2, box.y + box.h / 2
    place = [
        int(np.clip(c - side * rng.uniform(0.08, 0.92), 0, limit - side))
        for c, limit in zip(centre, (width, height), strict=True)
    ]
    return Box(place[0], place[1], side, side)


def tight_crop(box: Box, width: int, height: int, rng: np.random.Generator) -> Box:
    """A crop as a user draws it: 1.0-1.4 times the box, two times in three made square."""
    margin = rng.uniform(1.0, 1.4)
    w, h = box.w * margin, box.h * margin
    if rng.random() < 2 / 3:
        w = h = max(w, h)
    centre = box.x + box.w / 2, box.y + box.h / 2
    grown = Box(round(centre[0] - w / 2), round(centre[1] - h / 2), round(w), round(h))
    return grown.clipped(width, height)


def _anywhere(width: int, height: int, rng: np.random.Generator) -> Iterator[Box]:
    sides = window_sides(width, height)
    for _ in range(BACKGROUNDS):
        side = sides[int(rng.integers(len(sides)))]
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        yield Box(x, y, side, side)


def _relative(
    objects: Sequence[SceneObject], box: Box
) -> tuple[tuple[SceneObject, tuple[float, float, float, float]], ...]:
    side = max(box.w, box.h)
    x0, y0 = box.x - (side - box.w) / 2, box.y - (side - box.h) / 2
    return tuple(
        (
            obj,
            (
                (obj.box.x - x0) / side,
                (obj.box.y - y0) / side,
                obj.box.w / side,
                obj.box.h / side,
            ),
        )
        for obj in objects
        if box.intersection(obj.box)
    )


def write_chunk(folder: Path, name: str, patches: Sequence[tuple[Scene, Patch]]) -> None:
    """Write one chunk; the pixels appear last and whole, so their presence means it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [
        {
            "scene": dict(scene.attributes),
            "objects": [
                [
                    obj.category,
                    [round(v, 4) for v in box],
                    round(obj.visible, 3),
                    dict(obj.attributes),
                ]
                for obj, box in patch.objects
            ],
        }
        for scene, patch in patches
    ]
    (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    partial = folder / f"{name}.partial"
    with partial.open("wb") as file:
        np.save(file, np.stack([patch.pixels for _, patch in patches]))
    os.replace(partial, folder / f"{name}.npy")
