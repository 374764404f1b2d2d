"""The road in perspective, with its markings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.camera import Camera
from evaluation.scenes.painting import fill, roughen
from evaluation.scenes.place import Setting
from evaluation.scenes.styles import Colour, Style, mix


def _strip(
    camera: Camera, setting: Setting, left: float, right: float, near: float, far: float
) -> NDArray[np.float64]:
    depths = np.geomspace(near, far, 24)
    middle = np.array([setting.middle(z) for z in depths])
    zero = np.zeros_like(depths)
    one = camera.project(np.stack([middle + left, zero, depths], 1))
    two = camera.project(np.stack([middle + right, zero, depths], 1))
    return np.concatenate([one, two[::-1]])


def draw_road(
    picture: NDArray[np.uint8],
    camera: Camera,
    setting: Setting,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Draws asphalt, edges, lanes and crossings."""
    grey = int(style.trait("asphalt", 62, 112)) + int(rng.integers(-10, 11))
    asphalt: Colour = (grey, grey, grey + 3)
    if setting.weather == "snow" and rng.random() < 0.6:
        asphalt = mix(asphalt, (222, 226, 232), 0.5)
    half = setting.half_road
    fill(
        picture,
        _strip(camera, setting, -half - 0.5, half + 0.5, 1.2, 300),
        mix(asphalt, (150, 140, 120), 0.35),
    )
    fill(picture, _strip(camera, setting, -half, half, 1.2, 300), asphalt)
    top = max(int(camera.horizon) + 2, 0)
    roughen(picture[top:], rng, 0.035)
    if setting.place == "country road" and rng.random() < 0.4:
        edge = _strip(camera, setting, -half - 0.1, -half + 0.1, 1.5, 120)
        fill(picture, edge, (196, 190, 170))
    paint: Colour = (222, 222, 216) if style.trait("marking/yellow", 0, 1) > 0.2 else (222, 188, 60)
    paint = mix(paint, asphalt, float(rng.uniform(0.0, 0.35)))
    wide = style.trait("marking/width", 0.1, 0.18)
    for side in (-half + 0.3, half - 0.3):
        fill(picture, _strip(camera, setting, side - wide / 2, side + wide / 2, 1.5, 200), paint)
    lanes = {"city street": (0.0,), "country road": (0.0,), "highway": (-half / 3, half / 3)}[
        setting.place
    ]
    dash, gap = style.trait("marking/dash", 2.0, 5.0), style.trait("marking/gap", 3.0, 7.0)
    for lane in lanes:
        if rng.random() < 0.15:
            fill(
                picture, _strip(camera, setting, lane - wide / 2, lane + wide / 2, 1.5, 200), paint
            )
            continue
        start = 1.5 + float(rng.uniform(0, dash))
        while start < 90:
            fill(
                picture,
                _strip(camera, setting, lane - wide / 2, lane + wide / 2, start, start + dash),
                paint,
            )
            start += dash + gap
    if setting.place == "city street" and rng.random() < 0.35:
        at = float(rng.uniform(9, 25))
        for offset in np.arange(-half + 0.4, half - 0.5, 1.0):
            fill(picture, _strip(camera, setting, offset, offset + 0.5, at, at + 3.0), paint)
