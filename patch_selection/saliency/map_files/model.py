"""A saliency model in a file, whatever runs it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from patch_selection.saliency.interface import RgbImage
from patch_selection.saliency.map_files.letterbox import letterbox
from patchsearch.errors import InvalidArgument

DEFAULT_SIDE = 256
"""Side of the input where the file leaves it open, pixels."""


@dataclass(frozen=True, slots=True)
class PictureInput:
    """How a model takes a picture: (1, height, width, 3) or, if `channels_first`,
    (1, 3, height, width); numbers of `dtype`, 0..255 for uint8 and else 0..1."""

    height: int
    width: int
    channels_first: bool
    dtype: np.dtype[Any]

    def prepared(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """The model's input from (height, width, 3) RGB."""
        values = frame if self.dtype == np.uint8 else (frame / np.float32(255)).astype(self.dtype)
        values = values.transpose(2, 0, 1) if self.channels_first else values
        return np.ascontiguousarray(values[None])


def picture_input(
    shapes: Sequence[tuple[Sequence[Any], np.dtype[Any]]], file: str
) -> tuple[int, PictureInput]:
    """Which of a model's inputs is the picture, and how it is laid out.

    Sizes that are no positive numbers are open. Raises `InvalidArgument` (SALIENCY_MODEL_INVALID).
    """
    for place, (shape, dtype) in enumerate(shapes):
        sizes = [size if isinstance(size, (int, np.integer)) and size > 0 else 0 for size in shape]
        if len(sizes) != 4 or 3 not in (sizes[1], sizes[3]):
            continue
        first = sizes[3] != 3
        height, width = sizes[2:4] if first else sizes[1:3]
        return place, PictureInput(
            int(height) or DEFAULT_SIDE, int(width) or DEFAULT_SIDE, first, np.dtype(dtype)
        )
    raise model_invalid(file, f"its inputs have the shapes {[tuple(s) for s, _ in shapes]}")


def as_map(output: npt.NDArray[Any], file: str) -> npt.NDArray[np.float32]:
    """The (rows, columns) of an output with axes of one entry around them."""
    inside = output.squeeze()
    if inside.ndim != 2:
        raise model_invalid(file, f"its output has the shape {output.shape}")
    return np.asarray(inside, np.float32)


def model_invalid(file: str, why: str) -> InvalidArgument:
    """The error for a file that holds another kind of model."""
    return InvalidArgument(
        "SALIENCY_MODEL_INVALID",
        f"{file} is no saliency model: {why}; it must take a picture (1, height, width, 3) or "
        "(1, 3, height, width) and give a map (rows, columns)",
    )


class Runner(Protocol):
    """What runs a model; used by one thread at a time."""

    @property
    def picture(self) -> PictureInput:
        """How it takes a picture."""
        ...

    def run(self, prepared: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The map (rows, columns) of a prepared picture."""
        ...


class FileMaps:
    """Raw maps of a model in a file. Pictures are letterboxed to its input, one after the other.
    Thread-safe."""

    def __init__(self, name: str, runner: Runner) -> None:
        self._name = name
        self._runner = runner
        self._one = threading.Lock()

    @property
    def name(self) -> str:
        """The name under which the model is loaded."""
        return self._name

    def raw(self, images: Sequence[RgbImage]) -> list[npt.NDArray[np.float32]]:
        """The model's own values, of whatever scale, for each image."""
        maps = []
        for image in images:
            picture = self._runner.picture
            box = letterbox(image, picture.height, picture.width)
            with self._one:
                framed = self._runner.run(picture.prepared(box.framed(image)))
            maps.append(box.cut(framed))
        return maps
