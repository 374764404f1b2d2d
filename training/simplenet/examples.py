"""Examples to learn from: pictures as the network sees them, with the teacher's maps.

A chunk of n examples is three files: `<name>.inputs.npy` (n, 256, 256, 3) uint8 RGB,
`<name>.logits.npy` (n, 256, 256) float16, and `<name>.json` with what each is. The json appears
last, so that its presence means the chunk is whole; a build that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.simplenet.photos import list_photos, read_photo, training_scene, windows_of
from training.simplenet.teacher import MAP_SIDE, Teacher

CHUNK = 64


@dataclass(frozen=True, slots=True)
class Example:
    """Where an example comes from: the picture, and the square of it, (0, 0, 0) for all of it."""

    source: str
    name: str
    x: int
    y: int
    side: int
    held_out: bool


def as_input(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture stretched to the network's input, (256, 256, 3) uint8."""
    height, width = image.shape[:2]
    how = cv2.INTER_AREA if max(width, height) > MAP_SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (MAP_SIDE, MAP_SIDE), interpolation=how), np.uint8)


def plan(data: Path, scenes: int, crops: int, only: frozenset[str] | None = None) -> list[Example]:
    """All examples in the order in which they are made: whole photos first, then a mixture.

    `crops` squares of every photo, twice as many of driving photos, half as many of held-out
    photos and of scenes.
    """
    rng = np.random.default_rng(20)
    wholes, parts = [], []
    for photo in list_photos(data):
        if only is not None and photo.source not in only:
            continue
        name = photo.path.name
        height, width = read_photo(photo.path).shape[:2]
        wholes.append(Example(photo.source, name, 0, 0, 0, photo.held_out))
        count = crops * 2 if photo.source in ("gtsdb", "udacity-road") else crops
        count = max(1, count // 2) if photo.held_out else count
        for x, y, side in windows_of(width, height, count, rng):
            parts.append(Example(photo.source, name, x, y, side, photo.held_out))
    for number in range(scenes):
        parts.append(Example("scene", str(number), 0, 0, 0, False))
        for x, y, side in windows_of(1920, 1080, max(1, crops // 2), rng):
            parts.append(Example("scene", str(number), x, y, side, False))
    return [
        *(wholes[index] for index in rng.permutation(len(wholes))),
        *_scenes_together([parts[index] for index in rng.permutation(len(parts))]),
    ]


def _scenes_together(parts: Sequence[Example]) -> list[Example]:
    """The same order, but the examples of one scene beside each other: drawing one costs most."""
    of_scene: dict[str, list[Example]] = {}
    for part in parts:
        if part.source == "scene":
            of_scene.setdefault(part.name, []).append(part)
    ordered: list[Example] = []
    for part in parts:
        if part.source != "scene":
            ordered.append(part)
        else:
            ordered += of_scene.pop(part.name, [])
    return ordered


def build(
    data: Path,
    folder: Path,
    teacher: Teacher,
    examples: Sequence[Example],
    report: Callable[[str], None],
) -> None:
    """Write the chunks of `examples` into `folder`, leaving out those that are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = _Pictures(data)
    for start in range(0, len(examples), CHUNK):
        name = f"chunk-{start:06d}"
        if (folder / f"{name}.json").exists():
            continue
        part = examples[start : start + CHUNK]
        inputs, logits = [], []
        for example in part:
            image = pictures.read(example)
            inputs.append(as_input(image))
            logits.append(teacher.logits(image).astype(np.float16))
        np.save(folder / f"{name}.inputs.npy", np.stack(inputs))
        np.save(folder / f"{name}.logits.npy", np.stack(logits))
        partial = folder / f"{name}.partial"
        partial.write_text(json.dumps([asdict(example) for example in part]), encoding="utf-8")
        os.replace(partial, folder / f"{name}.json")
        report(f"{start + len(part)} of {len(examples)} examples")


class _Pictures:
    """Reads the picture of an example, keeping the last one."""

    def __init__(self, data: Path) -> None:
        self._paths = {(p.source, p.path.name): p.path for p in list_photos(data)}
        self._last: tuple[tuple[str, str], NDArray[np.uint8]] | None = None

    def read(self, example: Example) -> NDArray[np.uint8]:
        key = (example.source, example.name)
        if self._last is None or self._last[0] != key:
            if example.source == "scene":
                image = training_scene(int(example.name)).pixels
            else:
                image = read_photo(self._paths[key])
            self._last = (key, image)
        image = self._last[1]
        if not example.side:
            return image
        return np.ascontiguousarray(
            image[example.y : example.y + example.side, example.x : example.x + example.side]
        )


def chunks(folder: Path) -> Iterator[tuple[str, list[Example]]]:
    """The whole chunks in `folder` by name, with what they hold."""
    for path in sorted(folder.glob("chunk-*.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        yield path.stem, [Example(**row) for row in rows]
