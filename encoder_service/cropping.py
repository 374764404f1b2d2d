"""Cuts crops out of an image, at the model's input size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from encoder_service.model import Pixels, Preprocessing
from encoder_service.pixels import RgbImage
from patchsearch.geometry import Box


def whole(image: RgbImage) -> Box:
    """The box that covers the image."""
    return Box(0, 0, image.shape[1], image.shape[0])


def widened(box: Box, width: int, height: int) -> Box:
    """The box, grown along its shorter side towards a square, as far as the image has room.

    What is stored are squares, so an object marked by a long box is looked for with what is around
    it rather than with padding. The box stays in the middle except at an edge of the image; sides
    never shrink. A square box comes back as it is.
    """
    side = max(box.w, box.h)
    w, h = min(side, width), min(side, height)
    x = min(max(box.x - (w - box.w) // 2, 0), width - w)
    y = min(max(box.y - (h - box.h) // 2, 0), height - h)
    return Box(x, y, w, h)


def cut_crops(image: RgbImage, boxes: Sequence[Box], preprocessing: Preprocessing) -> Pixels:
    """Every box of the image at the model's input size: (n, side, side, 3) uint8.

    The boxes lie in the image. Antialiased with the model's own interpolation, as Pillow does it,
    to within one grey level; what is not square goes by `preprocessing.resize_mode`. Keeps no
    state: safe from many threads.
    """
    side = preprocessing.side
    crops = np.full((len(boxes), side, side, 3), preprocessing.fill, dtype=np.uint8)
    for crop, box in zip(crops, boxes, strict=True):
        if preprocessing.resize_mode == "shortest":
            box = _middle_square(box)
        region = image[box.y : box.bottom, box.x : box.right]
        w, h = side, side
        if preprocessing.resize_mode == "longest":
            longest = max(box.w, box.h)
            w = max(1, round(box.w * side / longest))
            h = max(1, round(box.h * side / longest))
        left, top = (side - w) // 2, (side - h) // 2
        crop[top : top + h, left : left + w] = _resized(region, w, h, preprocessing.interpolation)
    return crops


def _middle_square(box: Box) -> Box:
    """Cut before resizing: the same pixels, and a needle costs no more than a square."""
    side = min(box.w, box.h)
    return Box(box.x + (box.w - side) // 2, box.y + (box.h - side) // 2, side, side)


def _resized(region: RgbImage, width: int, height: int, interpolation: str) -> RgbImage:
    if region.shape[:2] == (height, width):
        return region
    # torch's uint8 path, channels last in memory, is 3 to 7 times as fast as Pillow.
    planes = torch.from_numpy(region).permute(2, 0, 1).unsqueeze(0)
    resized = functional.interpolate(
        planes, size=(height, width), mode=interpolation, align_corners=False, antialias=True
    )
    return resized[0].permute(1, 2, 0).numpy()
