"""Views of annotated photos and scenes, drawn anew for every step, with the maps wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from evaluation.study.loading import load_dataset
from patch_selection.saliency.simplenet.network import SimpleNet
from patchsearch.geometry import Box
from training.simplenet.examples import as_input
from training.simplenet.photos import list_photos, read_photo, training_scene, window_side
from training.simplenet.wanted import Mixture, Share, wanted_map

ANNOTATED = ("gtsdb", "coco128")
"""Sources whose boxes are learned from. Those of the others only ever measure."""

_SHARES = {"gtsdb": 0.45, "coco128": 0.2, "scene": 0.2, "raccoon": 0.1, "udacity-road": 0.05}
"""How often a view is of a source."""
_WHOLE = 0.3
"""The share of views that show all of a picture."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo or scene, (height, width, 3) uint8 RGB, and its boxes in pixels."""

    pixels: NDArray[np.uint8]
    boxes: tuple[Box, ...]


def annotated_pictures(data: Path, scenes: int) -> dict[str, list[Picture]]:
    """By source, the photos below `data` that are not held out, and `scenes` generated scenes."""
    known = {
        (source, photo.path): tuple(one.box for one in photo.objects)
        for source in ANNOTATED
        if (data / source / "annotations.json").is_file()
        for photo in load_dataset(data / source).photos
    }
    found: dict[str, list[Picture]] = {}
    for photo in tqdm(list_photos(data), desc="photos"):
        if not photo.held_out:
            boxes = known.get((photo.source, photo.path), ())
            found.setdefault(photo.source, []).append(Picture(read_photo(photo.path), boxes))
    for number in tqdm(range(scenes), desc="scenes"):
        scene = training_scene(number)
        boxes = tuple(one.box for one in scene.objects)
        found.setdefault("scene", []).append(Picture(scene.pixels, boxes))
    return found


class Views:
    """Random squares of pictures and whole ones, half of the squares around an object.

    `gaze` is a network that knows where people look. Not thread-safe.
    """

    def __init__(
        self, pictures: dict[str, list[Picture]], gaze: SimpleNet, mixture: Mixture, seed: int
    ) -> None:
        self._pictures, self._gaze, self._mixture = pictures, gaze.eval(), mixture
        self._rng = np.random.default_rng(seed)
        self._sources = [source for source in _SHARES if pictures.get(source)]
        shares = np.array([_SHARES[source] for source in self._sources])
        self._chances = shares / shares.sum()

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, 256, 256) in -1..1 and wanted logits (n, 256, 256); some are mirrored,
        all have other light."""
        views = [self._view() for _ in range(count)]
        values = torch.from_numpy(np.stack([view for view, _ in views]))
        values = values.permute(0, 3, 1, 2).float() / 127.5 - 1
        values = values.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            gaze = self._gaze(values).float().numpy()
        wanted = [
            wanted_map(looked, view, boxes, self._mixture)
            for looked, (view, boxes) in zip(gaze, views, strict=True)
        ]
        contrast = torch.tensor(self._rng.uniform(0.7, 1.3, (count, 1, 1, 1))).float()
        tint = torch.tensor(self._rng.uniform(-0.2, 0.2, (count, 3, 1, 1))).float()
        lit = (values * contrast + tint).clamp(-1, 1)
        return lit.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack(wanted))

    def _view(self) -> tuple[NDArray[np.uint8], Sequence[Share]]:
        rng = self._rng
        some = self._pictures[self._sources[int(rng.choice(len(self._sources), p=self._chances))]]
        picture = some[int(rng.integers(len(some)))]
        height, width = picture.pixels.shape[:2]
        x, y, across, down = 0, 0, width, height
        if rng.random() >= _WHOLE:
            x, y, across = self._square(picture.boxes, width, height)
            down = across
        part = as_input(picture.pixels[y : y + down, x : x + across])
        boxes = list(shown(picture.boxes, Box(x, y, across, down)))
        if rng.random() < 0.5:
            part = np.ascontiguousarray(part[:, ::-1])
            boxes = [(1 - left - w, top, w, h) for left, top, w, h in boxes]
        return part, boxes

    def _square(self, boxes: Sequence[Box], width: int, height: int) -> tuple[int, int, int]:
        rng = self._rng
        side = window_side(width, height, int(rng.integers(3)), rng)
        if not boxes or rng.random() < 0.5:
            return (
                int(rng.integers(0, width - side + 1)),
                int(rng.integers(0, height - side + 1)),
                side,
            )
        box = boxes[int(rng.integers(len(boxes)))]
        x = round(box.x + box.w / 2 - rng.uniform(0, side))
        y = round(box.y + box.h / 2 - rng.uniform(0, side))
        return min(max(0, x), width - side), min(max(0, y), height - side), side


def shown(boxes: Sequence[Box], part: Box) -> Iterator[Share]:
    """What a part of a picture shows of boxes, in shares of the part's sides."""
    for box in boxes:
        left, top = max(box.x, part.x), max(box.y, part.y)
        w, h = min(box.right, part.right) - left, min(box.bottom, part.bottom) - top
        if w > 0 and h > 0:
            yield (left - part.x) / part.w, (top - part.y) / part.h, w / part.w, h / part.h
