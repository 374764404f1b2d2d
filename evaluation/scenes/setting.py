"""The empty photo: sky, hills, ground, and what road and roadside add."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.camera import Camera
from evaluation.scenes.painting import fill, roughen
from evaluation.scenes.place import Setting
from evaluation.scenes.road import draw_road
from evaluation.scenes.roadside import draw_roadside
from evaluation.scenes.styles import Colour, Style, jitter, mix


def draw_setting(
    width: int,
    height: int,
    camera: Camera,
    setting: Setting,
    style: Style,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """The empty place, `(height, width, 3)` uint8 RGB."""
    horizon = int(np.clip(camera.horizon, 8, height - 8))
    picture = np.empty((height, width, 3), np.uint8)
    low = mix(setting.sky, (232, 228, 220), 0.55) if setting.light != "night" else (30, 34, 48)
    rows = np.linspace(0, 1, horizon)[:, None]
    picture[:horizon] = (np.array(setting.sky) * (1 - rows) + np.array(low) * rows)[
        :, None, :
    ].astype(np.uint8)
    _clouds(picture[:horizon], setting, rng)
    ground = _ground_colour(setting, style, rng)
    depth = np.linspace(0, 1, height - horizon)[:, None]
    far = mix(ground, low, 0.35)
    picture[horizon:] = (np.array(far) * (1 - depth) + np.array(ground) * depth)[:, None, :].astype(
        np.uint8
    )
    _hills(picture, horizon, low, ground, rng)
    roughen(picture[horizon:], rng, 0.11)
    draw_road(picture, camera, setting, style, rng)
    draw_roadside(picture, camera, setting, style, rng)
    return picture


def _clouds(sky: NDArray[np.uint8], setting: Setting, rng: np.random.Generator) -> None:
    if setting.light == "night" or sky.shape[0] < 16:
        return
    noise = np.zeros(sky.shape[:2], np.float32)
    for octave, weight in ((5, 1.0), (11, 0.5), (24, 0.25)):
        grid = rng.normal(0, weight, (max(2, octave // 2), octave)).astype(np.float32)
        noise += cv2.resize(grid, (sky.shape[1], sky.shape[0]), interpolation=cv2.INTER_CUBIC)
    share = np.clip(noise - float(rng.uniform(-0.4, 1.0)), 0, 1)[:, :, None] * 0.75
    cloud = 245 if setting.weather == "clear" else 150
    sky[:] = (sky * (1 - share) + cloud * share).astype(np.uint8)


def _ground_colour(setting: Setting, style: Style, rng: np.random.Generator) -> Colour:
    if setting.weather == "snow":
        return jitter(rng, (224, 228, 234), 8)
    if setting.place == "city street":
        return jitter(rng, style.tint("pavement", (0.08, 0.12), (0.02, 0.14), (0.48, 0.66)), 10)
    return jitter(rng, style.tint("grass", (0.17, 0.32), (0.25, 0.55), (0.3, 0.5)), 14)


def _hills(
    picture: NDArray[np.uint8], horizon: int, low: Colour, ground: Colour, rng: np.random.Generator
) -> None:
    height, width = picture.shape[:2]
    for layer in range(int(rng.integers(1, 4))):
        knots = rng.uniform(0.0, 0.1 / (layer + 1), 9) * height
        line = np.interp(np.linspace(0, 8, 60), np.arange(9), knots)
        tone = mix(mix(ground, (40, 60, 50), 0.4), low, 0.65 - 0.2 * layer)
        top = np.stack([np.linspace(0, width, 60), horizon - line], 1)
        fill(picture, np.concatenate([top, [(width, horizon + 2), (0, horizon + 2)]]), tone)
