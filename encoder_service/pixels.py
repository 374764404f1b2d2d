"""Every way in which a picture can hold its colours, as 8-bit RGB."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RgbImage: TypeAlias = NDArray[np.uint8]
"""(height, width, 3) uint8, red, green, blue."""

_FULL_16_BIT = 65535
_BLOCK = 1 << 20
"""Pixels of 16-bit grey that are scaled at a time, in 8 bytes each."""


def fill_rgb(picture: Image.Image, pixels: RgbImage) -> None:
    """Writes the picture into `pixels`, (height, width, 3) uint8.

    16-bit grey is scaled, not clipped (Pillow keeps the high byte of 16-bit colour by itself). What
    is transparent is laid on white, as cut-out objects are shown. CMYK is converted without a
    colour profile. Raises what Pillow raises.
    """
    if picture.mode.startswith("I"):
        _fill_from_16_bit(np.asarray(picture), pixels)
        return
    if picture.has_transparency_data:
        picture = _on_white(picture)
    elif picture.mode != "RGB":
        picture = picture.convert("RGB")
    pixels[...] = np.asarray(picture, dtype=np.uint8)


def _fill_from_16_bit(values: NDArray[np.generic], pixels: RgbImage) -> None:
    rows = max(1, _BLOCK // max(1, values.shape[1]))
    for top in range(0, len(values), rows):
        block = np.clip(values[top : top + rows].astype(np.int64), 0, _FULL_16_BIT)
        grey = (block * 255 + _FULL_16_BIT // 2) // _FULL_16_BIT
        pixels[top : top + rows] = grey.astype(np.uint8)[:, :, np.newaxis]


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture.convert("RGBA"))
    return ground.convert("RGB")
