"""Every way in which a picture can hold its colours, as 8-bit RGB."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RgbImage: TypeAlias = NDArray[np.uint8]
"""(height, width, 3) uint8, red, green, blue."""

_FULL_16_BIT = 65535


def rgb_pixels(picture: Image.Image) -> RgbImage:
    """The picture as (height, width, 3) uint8, C-contiguous and writable.

    16-bit grey is scaled, not clipped (Pillow keeps the high byte of 16-bit colour by itself). What
    is transparent is laid on white, as cut-out objects are shown. CMYK is converted without a
    colour profile. Raises what Pillow raises.
    """
    if picture.mode.startswith("I"):
        return _from_16_bit(picture)
    if picture.has_transparency_data:
        picture = _on_white(picture)
    elif picture.mode != "RGB":
        picture = picture.convert("RGB")
    return np.array(picture, dtype=np.uint8)


def _from_16_bit(picture: Image.Image) -> RgbImage:
    values = np.clip(np.asarray(picture).astype(np.int64), 0, _FULL_16_BIT)
    grey = ((values * 255 + _FULL_16_BIT // 2) // _FULL_16_BIT).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture.convert("RGBA"))
    return ground.convert("RGB")
