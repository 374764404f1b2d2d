"""The map that is wanted: where people look, what is unexpected, and what was annotated.

Each is a density over the pixels, and the wanted one is their mean by the weights of a `Mixture`.
Gaze alone leaves out what people do not look at and yet search for; annotations alone know nothing
of what nobody named (docs/decisions/012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from patch_selection.saliency import spectral_residual

Share = tuple[float, float, float, float]
"""A box as x, y, w, h in shares of a picture's sides."""

_BLUR_PX = 3.0
"""Sigma that boxes are blurred with: an object of a whole photo has few pixels of 256 x 256."""
_SMALLEST_SHARE = 1 / 128
"""Objects of less than this share of a side are not asked for: two of 256 pixels."""
_LEAST = 1e-3
"""How likely the least wanted pixels are, against the average."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weights of the three densities; where nothing was annotated the other two share it all."""

    gaze: float = 0.25
    contrast: float = 0.25
    objects: float = 0.5


def wanted_map(
    gaze: NDArray[np.float32], picture: NDArray[np.uint8], boxes: Sequence[Share], mixture: Mixture
) -> NDArray[np.float32]:
    """Logits (n, n) float32: the logarithm of how much likelier than on average a pixel is wanted.

    `gaze` (n, n): logits of where people look; `picture` (n, n, 3) uint8 RGB; `boxes`: what was
    annotated in it.
    """
    side = gaze.shape[0]
    residual = cv2.resize(spectral_residual(picture), (side, side), interpolation=cv2.INTER_LINEAR)
    parts = [
        (mixture.gaze, np.exp(gaze - gaze.max())),
        (mixture.contrast, np.asarray(residual, np.float32)),
        (mixture.objects, _objects(boxes, side)),
    ]
    shown = [(weight, part / part.mean()) for weight, part in parts if part.any()]
    density = sum(weight * part for weight, part in shown) / sum(weight for weight, _ in shown)
    return np.asarray(np.log(density + _LEAST), np.float32)


def _objects(boxes: Sequence[Share], side: int) -> NDArray[np.float32]:
    """Every object has the same share of the density, however large it is."""
    total = np.zeros((side, side), np.float32)
    for x, y, w, h in boxes:
        if min(w, h) < _SMALLEST_SHARE:
            continue
        left, top = int(x * side), int(y * side)
        right, bottom = int(np.ceil((x + w) * side)), int(np.ceil((y + h) * side))
        total[top:bottom, left:right] += 1.0 / ((right - left) * (bottom - top))
    return np.asarray(cv2.GaussianBlur(total, (0, 0), _BLUR_PX), np.float32)
