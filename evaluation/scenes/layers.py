"""Laying drawn things over the photo, and finding what stays visible of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.canvas import Glow, Sprite
from evaluation.scenes.model import SceneObject
from evaluation.scenes.place import Setting
from evaluation.scenes.styles import mix
from patchsearch.geometry import Box

LEAST_VISIBLE, LEAST_PX = 0.15, 12


def lay(
    picture: NDArray[np.uint8], sprites: list[Sprite], setting: Setting
) -> tuple[tuple[SceneObject, ...], list[Glow]]:
    """Lays the sprites over the picture, the farthest first, and finds what stays visible."""
    height, width = picture.shape[:2]
    owner = np.zeros((height, width), np.int16)
    ordered = sorted(sprites, key=lambda sprite: -sprite.depth)
    haze = np.array(mix(setting.sky, (210, 210, 206), 0.4), np.float32)
    for number, sprite in enumerate(ordered, 1):
        if sprite.footprint is not None:
            _shadow(picture, sprite.footprint, setting)
        h, w = sprite.pixels.shape[:2]
        x0, y0 = max(sprite.left, 0), max(sprite.top, 0)
        x1, y1 = min(sprite.left + w, width), min(sprite.top + h, height)
        if x0 >= x1 or y0 >= y1:
            continue
        part = sprite.pixels[y0 - sprite.top : y1 - sprite.top, x0 - sprite.left : x1 - sprite.left]
        alpha = part[:, :, 3:].astype(np.float32) / 255
        share = float(1 - np.exp(-sprite.depth * setting.haze))
        colour = part[:, :, :3] * (1 - share) + haze * alpha * share
        region = picture[y0:y1, x0:x1]
        region[:] = np.clip(colour + region * (1 - alpha), 0, 255).astype(np.uint8)
        owner[y0:y1, x0:x1][part[:, :, 3] > 110] = number
    objects = []
    glows: list[Glow] = []
    for number, sprite in enumerate(ordered, 1):
        glows += sprite.glows
        if sprite.category is None:
            continue
        h, w = sprite.pixels.shape[:2]
        x0, y0 = max(sprite.left, 0), max(sprite.top, 0)
        mine = (
            owner[
                y0 : max(min(sprite.top + h, height), 0), x0 : max(min(sprite.left + w, width), 0)
            ]
            == number
        )
        total, seen = int((sprite.pixels[:, :, 3] > 110).sum()), int(mine.sum())
        if not total or seen / total < LEAST_VISIBLE:
            continue
        rows, columns = np.nonzero(mine.any(1))[0], np.nonzero(mine.any(0))[0]
        box = Box(
            x0 + int(columns[0]),
            y0 + int(rows[0]),
            int(columns[-1] - columns[0]) + 1,
            int(rows[-1] - rows[0]) + 1,
        )
        if min(box.w, box.h) < LEAST_PX:
            continue
        objects.append(SceneObject(sprite.category, box, seen / total, sprite.attributes))
    return tuple(objects), glows


def _shadow(
    picture: NDArray[np.uint8], footprint: tuple[float, float, float, float], setting: Setting
) -> None:
    u, v, rx, ry = footprint
    height, width = picture.shape[:2]
    rx, ry = min(rx, 900.0), min(ry * 1.6, 200.0)
    x0, x1 = int(max(u - rx * 1.3, 0)), int(min(u + rx * 1.3, width))
    y0, y1 = int(max(v - ry * 1.8, 0)), int(min(v + ry * 1.8, height))
    if x1 - x0 < 2 or y1 - y0 < 1:
        return
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    distance = ((x - u) / rx) ** 2 + ((y - v) / ry) ** 2
    depth = {"day": 0.6, "overcast": 0.4, "dusk": 0.45, "night": 0.5}[setting.light]
    light = 1 - depth * np.clip(1.35 - distance, 0, 1)
    region = picture[y0:y1, x0:x1]
    region[:] = (region * light[:, :, None]).astype(np.uint8)
