"""Drawing straight into a photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.scenes.styles import Colour


def fill(picture: NDArray[np.uint8], points: ArrayLike, colour: Colour) -> None:
    """Fills a polygon of image points, antialiased."""
    fixed = np.round(np.clip(np.asarray(points, np.float64), -20000, 20000) * 16).astype(np.int32)
    cv2.fillPoly(picture, [fixed], colour, cv2.LINE_AA, 4)


def roughen(region: NDArray[np.uint8], rng: np.random.Generator, strength: float) -> None:
    """Uneven a region: coarse and fine light and dark."""
    height, width = region.shape[:2]
    coarse = rng.normal(1, strength, (max(2, height // 12), max(2, width // 24))).astype(np.float32)
    fine = rng.normal(1, strength * 0.6, (max(2, height // 3), max(2, width // 3))).astype(
        np.float32
    )
    light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    light = light * cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR)
    region[:] = np.clip(region * light[:, :, None], 0, 255).astype(np.uint8)
