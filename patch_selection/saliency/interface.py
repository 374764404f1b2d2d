"""The seam behind which saliency models stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

RgbImage: TypeAlias = npt.NDArray[np.uint8]
"""(height, width, 3) uint8, red, green, blue."""

SaliencyMap: TypeAlias = npt.NDArray[np.float32]
"""(rows, columns) float32 in 0..1, 1 where the eye goes."""


class Saliency(Protocol):
    """A model that says how much every part of a picture draws the eye.

    A model brings its own calibration: a monotone map of its raw output, such that the thesis's
    thresholds on the average of a window (0.05 and 0.3) single out on its maps what they are meant
    to.
    """

    @property
    def name(self) -> str:
        """The name under which the model is loaded, such as `spectral-residual`."""
        ...

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        """One map for every image, in order.

        Images are (height, width, 3) uint8 RGB and may differ in size. A map may have any
        resolution, and covers the whole image: it is stretched to the image's size before windows
        are scored on it. Depends on nothing but the image, not on its neighbours in the batch.
        May be called from several threads.
        """
        ...


class RawSaliency(Protocol):
    """A model before its calibration."""

    @property
    def name(self) -> str:
        """The name under which the model is loaded."""
        ...

    def raw(self, images: Sequence[RgbImage]) -> list[npt.NDArray[np.float32]]:
        """A map (rows, columns) for every image, of whatever scale; else as `Saliency.predict`."""
        ...
