"""Pictures as callers hold them -> the encoded bytes that travel."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from patchsearch.errors import InvalidArgument

Pixels: TypeAlias = str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image
"""A picture: a file's path, encoded JPEG/PNG/WebP, an (H, W, 3) uint8 RGB array, a PIL image."""


def encoded_pixels(pixels: Pixels) -> bytes:
    """The bytes to send: files and bytes go as they are, arrays and PIL images as lossless PNG.

    A PIL image is turned upright (EXIF) and made RGB. Nothing is decoded here, so that broken files
    are found by the server, with its limits. Raises InvalidArgument FILE_UNREADABLE for a file that
    cannot be read and PIXELS_INVALID for an array of another shape or type. Thread-safe.
    """
    if isinstance(pixels, bytes | bytearray | memoryview):
        return bytes(pixels)
    if isinstance(pixels, np.ndarray):
        return _png(_image_of(pixels))
    if isinstance(pixels, Image.Image):
        return _png(ImageOps.exif_transpose(pixels).convert("RGB"))
    if isinstance(pixels, str | os.PathLike):
        return _file_content(Path(pixels))
    raise TypeError(
        f"{type(pixels).__name__} is no picture; use a path, bytes, an (H, W, 3) uint8 array "
        "or a PIL image"
    )


def _file_content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"cannot read {path}: {reason.lower()}; check the path and its rights",
        ) from error


def _image_of(array: NDArray[Any]) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise InvalidArgument(
            "PIXELS_INVALID",
            f"array is {array.shape} {array.dtype}; pixels must be (H, W, 3) uint8 in RGB order",
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Level 1: the picture crosses one connection once, so time matters more than the last bytes.
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
