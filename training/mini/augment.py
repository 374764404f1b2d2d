"""Random changes to a stored patch that leave known which objects it shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]


def augment(
    pixels: Pixels, boxes: Boxes, size: int, may_flip: bool, rng: np.random.Generator
) -> tuple[Pixels, Boxes]:
    """A random view `(size, size, 3)` and the boxes `(n, 4)` relative to it."""
    pixels, boxes = _crop(pixels, boxes, size, rng)
    if may_flip and rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        boxes = boxes.copy()
        boxes[:, 0] = 1 - boxes[:, 0] - boxes[:, 2]
    return _degrade(_recolour(pixels, rng), rng), boxes


def _crop(
    pixels: Pixels, boxes: Boxes, size: int, rng: np.random.Generator
) -> tuple[Pixels, Boxes]:
    side = pixels.shape[0]
    low = 1.0 if rng.random() < 0.3 else 0.74
    scale = rng.uniform(low, 1.0)
    stretch = np.exp(rng.uniform(-0.12, 0.12)) if low < 1 else 1.0
    w = min(side, max(8, round(side * scale * stretch)))
    h = min(side, max(8, round(side * scale / stretch)))
    x, y = int(rng.integers(side - w + 1)), int(rng.integers(side - h + 1))
    how = cv2.INTER_AREA if w >= 1.2 * size else cv2.INTER_LINEAR
    view = cv2.resize(pixels[y : y + h, x : x + w], (size, size), interpolation=how)
    offset = np.array([x / side, y / side, 0, 0], np.float32)
    unit = np.array([w / side, h / side, w / side, h / side], np.float32)
    return np.asarray(view, np.uint8), (boxes - offset) / unit


def _recolour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma, contrast, brightness and a slight cast, as one table per channel."""
    if rng.random() < 0.25:
        return pixels
    ramp = (np.arange(256, dtype=np.float32) / 255) ** np.exp(rng.uniform(-0.35, 0.35))
    ramp = (ramp - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.uniform(-0.1, 0.1)
    gains = rng.uniform(0.93, 1.07, 3)
    table = np.clip(ramp[:, None] * gains * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]), np.uint8)


def _degrade(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Sometimes: low resolution, blur, JPEG blocks, noise."""
    roll = rng.random()
    size = pixels.shape[0]
    if roll < 0.15:
        small = int(rng.integers(size * 3 // 8, size * 3 // 4))
        pixels = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    elif roll < 0.25:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.2))  # type: ignore[assignment]
    elif roll < 0.35:
        quality = int(rng.integers(30, 90))
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    elif roll < 0.45:
        noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(2, 10)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return pixels
