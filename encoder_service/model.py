"""The seam between the service and the network that embeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
"""(n, side, side, 3) uint8, red, green, blue: crops at the model's input size."""

TokenIds: TypeAlias = NDArray[np.int64]
"""(n, max_text_tokens) int64, padded."""

Vectors: TypeAlias = NDArray[np.float32]
"""(n, dim) float32, C-contiguous, unit rows."""

ResizeMode: TypeAlias = Literal["shortest", "longest", "squash"]

DIM = 512
"""Numbers in a vector of every supported model."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a model wants its input, as open_clip's preprocessing configuration says it.

    `side`: pixels of the square input. `resize_mode`: what becomes of a picture that is not square:
    `shortest` keeps its centre square, `longest` pads it with `fill` (0..255), `squash` distorts
    it. `mean` and `std` are per channel, for pixels in 0..1.
    """

    side: int
    interpolation: Literal["bicubic", "bilinear"]
    resize_mode: ResizeMode
    fill: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, where and how it runs.

    `fingerprint` identifies architecture, weights, preprocessing and dimension; `device` (such as
    `cuda:0`) and `precision` (`float32` or `bfloat16`) are not part of it.
    """

    name: str
    fingerprint: str
    dim: int
    device: str
    precision: str
    max_text_tokens: int
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as the model reads them, and which of them (n,) were cut at its token limit."""

    ids: TokenIds
    truncated: NDArray[np.bool_]


class Running(Protocol):
    """A batch that was handed to the model."""

    def done(self) -> bool:
        """Whether `result` returns without waiting."""
        ...

    def result(self) -> Vectors:
        """The vectors, in the order of the input; waits for them. Raises what the model raised."""
        ...


class Model(Protocol):
    """Embeds crops and texts. `begin_*` are called from one thread, `tokenize` from any."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """The tokens of every text, in order."""
        ...

    def begin_images(self, pixels: Sequence[Pixels]) -> Running:
        """Starts to embed the crops of all arrays, one after the other, as one batch.

        Where the model shares the processor, the batch is done when this returns; on an
        accelerator this returns early, so that the next batch can be made ready meanwhile. The
        arrays may be reused once it has returned.
        """
        ...

    def begin_texts(self, ids: Sequence[TokenIds]) -> Running:
        """Starts to embed texts; as `begin_images`."""
        ...
