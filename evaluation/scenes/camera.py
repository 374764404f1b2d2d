"""The pinhole camera that stands on the road, and flat things put up in front of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evaluation.scenes.canvas import Points


@dataclass(frozen=True)
class Camera:
    """A level camera: x to the right, y up from the ground, z forward, all in metres."""

    focal: float
    height: float
    centre: float
    horizon: float

    def project(self, points: ArrayLike) -> Points:
        """`(n, 3)` points in metres as `(n, 2)` image pixels; z is kept at 0.4 m or more."""
        array = np.asarray(points, np.float64)
        depth = np.maximum(array[:, 2], 0.4)
        u = self.centre + self.focal * array[:, 0] / depth
        v = self.horizon - self.focal * (array[:, 1] - self.height) / depth
        return np.stack([u, v], axis=1)

    def scale(self, depth: float) -> float:
        """Pixels for a metre at this distance."""
        return self.focal / depth

    def upright(
        self, x: float, depth: float, base: float = 0.0, mirror: bool = False, squeeze: float = 1.0
    ) -> Callable[[Points], Points]:
        """A plane facing the camera with its origin on the ground (or `base` metres above it).

        Mirrored, its x points left; squeezed, it is seen at a slant.
        """
        scale = self.scale(depth)
        across = -scale * squeeze if mirror else scale * squeeze
        u0 = self.centre + scale * x
        v0 = self.horizon + scale * (self.height - base)
        step, origin = np.array([across, -scale]), np.array([u0, v0])

        def lift(points: Points) -> Points:
            return np.asarray(points * step + origin, np.float64)

        return lift
