"""From the bytes that a caller sent to upright RGB pixels, or to an error that says why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from encoder_service.picture import FORMATS, Flaw, FlawedPicture, read_picture
from encoder_service.pixels import RgbImage
from patchsearch.errors import InvalidArgument

__all__ = ["FORMATS", "ImageLimits", "Subject", "check_sides", "decode", "refusal"]

MAX_SETTABLE_MPX = 178
"""Above this many million pixels Pillow itself refuses an image."""


class Subject(Enum):
    """What the bytes are to the caller, which decides the reason and the words of an error."""

    CROP = "crop"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """`max_pixels`: most pixels of an image, by its header. `min_side`: least side, in pixels."""

    max_pixels: int = 64_000_000
    min_side: int = 8


def decode(data: bytes, subject: Subject, limits: ImageLimits) -> RgbImage:
    """The pixels of a JPEG, PNG or WebP, (height, width, 3) uint8 RGB, C-contiguous and writable.

    For bytes that can be trusted: the parsers run in this process. What callers send goes through
    `Decoder`, which gives the same pixels and the same errors.

    Upright: EXIF orientation is applied; a damaged EXIF block counts as none. Of an animation, the
    first frame. Transparent pixels are laid on white. 16-bit values are scaled to 8 bits. The pixel
    count is checked before anything is decoded. Raises `InvalidArgument` (CROP_UNDECODABLE or
    IMAGE_UNDECODABLE, IMAGE_TOO_LARGE) and nothing else. Sides are not checked; see `check_sides`.
    """
    decoded: list[RgbImage] = []

    def room(height: int, width: int) -> RgbImage:
        decoded.append(np.empty((height, width, 3), dtype=np.uint8))
        return decoded[0]

    try:
        read_picture(data, limits.max_pixels, room)
    except FlawedPicture as flawed:
        raise refusal(subject, flawed.flaw, flawed.detail) from flawed
    return decoded[0]


def check_sides(width: int, height: int, subject: Subject, limits: ImageLimits) -> None:
    """Raises `InvalidArgument` (CROP_TOO_SMALL, IMAGE_TOO_SMALL) when a side is below the limit."""
    if min(width, height) < limits.min_side:
        raise InvalidArgument(
            f"{subject.name}_TOO_SMALL",
            f"{subject.value} is {width}x{height} px; the smallest side must be "
            f"{limits.min_side} px or more",
        )


def refusal(subject: Subject, flaw: Flaw, detail: str) -> InvalidArgument:
    """The error for an image with this flaw."""
    if flaw is Flaw.UNDECODABLE:
        return InvalidArgument(
            f"{subject.name}_UNDECODABLE",
            f"{subject.value} is not a whole JPEG, PNG or WebP: {detail}",
        )
    return InvalidArgument("IMAGE_TOO_LARGE", f"{subject.value} cannot be decoded: {detail}")
