"""What stands between scene and file: light, rain, snow, blur, noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.canvas import Glow
from evaluation.scenes.place import Setting


def apply_light(
    picture: NDArray[np.uint8], setting: Setting, glows: list[Glow], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Dims and tints the picture for the time of day, and adds the lamps' glow."""
    gain = {
        "day": (1.0, 1.0, 1.0),
        "overcast": (0.9, 0.92, 0.95),
        "dusk": (0.8, 0.68, 0.64),
        "night": (0.36, 0.38, 0.48),
    }[setting.light]
    factor = np.array(gain) * float(rng.uniform(0.86, 1.12))
    table = np.clip(np.arange(256)[:, None] * factor, 0, 255).astype(np.uint8)
    lit = np.asarray(cv2.LUT(picture, table.reshape(1, 256, 3)), np.uint8)
    if setting.light in ("night", "dusk") and glows:
        _add_glows(lit, glows, 1.0 if setting.light == "night" else 0.5)
    return lit


def _add_glows(picture: NDArray[np.uint8], glows: list[Glow], strength: float) -> None:
    height, width = picture.shape[:2]
    for glow in glows:
        radius = int(np.clip(glow.radius, 2, 120))
        left, top = int(glow.u) - radius, int(glow.v) - radius
        x0, y0, x1, y1 = (
            max(left, 0),
            max(top, 0),
            min(left + 2 * radius, width),
            min(top + 2 * radius, height),
        )
        if x0 >= x1 or y0 >= y1:
            continue
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        distance = ((x - glow.u) ** 2 + (y - glow.v) ** 2) / radius**2
        light = np.exp(-4 * distance)[:, :, None] * np.array(glow.colour) * glow.strength * strength
        region = picture[y0:y1, x0:x1]
        region[:] = np.clip(region + light, 0, 255).astype(np.uint8)


def apply_weather(
    picture: NDArray[np.uint8], setting: Setting, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draws falling rain or snow."""
    height, width = picture.shape[:2]
    if setting.weather == "rain":
        layer = np.zeros((height // 2, width // 2), np.uint8)
        slant = float(rng.uniform(-6, 6))
        for x, y in rng.uniform(0, 1, (500, 2)):
            u, v = int(x * width / 2), int(y * height / 2)
            cv2.line(
                layer, (u, v), (int(u + slant), v + int(rng.integers(8, 26))), 90, 1, cv2.LINE_AA
            )
        layer = cv2.GaussianBlur(cv2.resize(layer, (width, height)), (0, 0), 0.8)
        return np.asarray(cv2.add(picture, cv2.merge([layer] * 3) // 2), np.uint8)
    if setting.weather == "snow":
        layer = np.zeros((height, width), np.uint8)
        for x, y, size in rng.uniform(0, 1, (420, 3)):
            cv2.circle(
                layer,
                (int(x * width), int(y * height)),
                1 + int(size**3 * 5),
                int(120 + 100 * size),
                -1,
                cv2.LINE_AA,
            )
        return np.asarray(
            cv2.add(picture, cv2.merge([cv2.GaussianBlur(layer, (0, 0), 1.0)] * 3)), np.uint8
        )
    return picture


def apply_camera(
    picture: NDArray[np.uint8], setting: Setting, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Blurs, changes exposure and adds sensor noise, as a windscreen camera does."""
    chance = rng.random()
    scale = picture.shape[0] / 1080
    if chance < 0.22:
        picture = np.asarray(
            cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.6, 1.6)) * scale), np.uint8
        )
    elif chance < 0.36:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0 / length
        picture = np.asarray(cv2.filter2D(picture, -1, kernel), np.uint8)
    gamma, contrast = float(rng.uniform(0.85, 1.18)), float(rng.uniform(0.9, 1.1))
    curve = np.clip(((np.arange(256) / 255.0) ** gamma - 0.5) * contrast + 0.5, 0, 1) * 255
    picture = np.asarray(cv2.LUT(picture, curve.astype(np.uint8)), np.uint8)
    sigma = float(rng.uniform(1.0, 4.0)) * (1.8 if setting.light == "night" else 1.0)
    tile = rng.normal(0, sigma, (270, 480, 3)).astype(np.int16)
    repeats = (-(-picture.shape[0] // 270), -(-picture.shape[1] // 480), 1)
    noise = np.tile(tile, repeats)[: picture.shape[0], : picture.shape[1]]
    noisy: NDArray[np.int16] = picture + noise
    return np.clip(noisy, 0, 255).astype(np.uint8)
