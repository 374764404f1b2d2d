"""Antialiased drawing of one object into its own small picture (a sprite).

A sprite's pixels are RGBA with the colour already multiplied by alpha: drawing opaque antialiased
shapes over transparent black gives exactly that, and laying sprites over a picture is then one
multiply and one add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.scenes.styles import Colour

Points = NDArray[np.float64]
_SHIFT = 4
_TOO_LARGE_PX = 3000.0


@dataclass(frozen=True)
class Glow:
    """A light: centre in image pixels, radius in pixels, colour, and how strong (0..1)."""

    u: float
    v: float
    radius: float
    colour: Colour
    strength: float = 1.0


@dataclass
class Sprite:
    """A drawn object: `(h, w, 4) uint8` premultiplied RGBA whose first pixel is at (left, top).

    `category` is None for things that are drawn but not annotated. `footprint` is the ground shadow
    as (u, v, half width, half height) in image pixels.
    """

    pixels: NDArray[np.uint8]
    left: int
    top: int
    depth: float
    category: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    glows: tuple[Glow, ...] = ()
    footprint: tuple[float, float, float, float] | None = None


def spline(points: ArrayLike, steps: int = 6, closed: bool = True) -> Points:
    """A Catmull-Rom curve through the points, `steps` vertices for each of them."""
    knots = np.asarray(points, np.float64)
    if closed:
        before, after, last = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    else:
        padded = np.concatenate([knots[:1], knots, knots[-1:], knots[-1:]])
        before, knots, after, last = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (array[:, None, :] for array in (before, knots, after, last))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return np.asarray(curve.reshape(-1, 2), np.float64)


def ring(x: float, y: float, rx: float, ry: float, turn: float = 0.0, vertices: int = 24) -> Points:
    """An ellipse as a polygon; `turn` in radians, anticlockwise where y points up."""
    angles = np.linspace(0.0, 2 * np.pi, vertices, endpoint=False)
    across, along = rx * np.cos(angles), ry * np.sin(angles)
    return np.stack(
        [
            x + across * np.cos(turn) - along * np.sin(turn),
            y + across * np.sin(turn) + along * np.cos(turn),
        ],
        axis=1,
    )


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Points:
    """A rectangle with round corners."""
    radius = min(radius, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    corners = [
        (x1 - radius, y1 - radius, 0.0),
        (x0 + radius, y1 - radius, 0.5),
        (x0 + radius, y0 + radius, 1.0),
        (x1 - radius, y0 + radius, 1.5),
    ]
    angles = np.linspace(0.0, 0.5, 5)
    parts = [
        np.stack(
            [
                cx + radius * np.cos((a + angles) * np.pi),
                cy + radius * np.sin((a + angles) * np.pi),
            ],
            axis=1,
        )
        for cx, cy, a in corners
    ]
    return np.concatenate(parts)


class Canvas:
    """A transparent picture of the image region `bounds` (left, top, right, bottom in pixels).

    Shapes are drawn through a `Plane`. Small pictures are drawn larger and reduced at the end.
    """

    def __init__(self, bounds: tuple[float, float, float, float], margin: int = 2) -> None:
        left, top, right, bottom = bounds
        if not all(np.isfinite(bounds)) or max(right - left, bottom - top) > _TOO_LARGE_PX:
            raise ValueError(f"a sprite of bounds {bounds} is too large to draw")
        self.left, self.top = int(np.floor(left)) - margin, int(np.floor(top)) - margin
        self.width = int(np.ceil(right)) + margin - self.left
        self.height = int(np.ceil(bottom)) + margin - self.top
        size = max(self.width, self.height)
        self.scale = 4 if size < 60 else 2 if size < 420 else 1
        shape = (self.height * self.scale, self.width * self.scale, 4)
        self.pixels: NDArray[np.uint8] = np.zeros(shape, np.uint8)

    def plane(self, lift: Callable[[Points], Points]) -> Plane:
        """A surface to draw on; `lift` takes its `(n, 2)` points to image pixels."""
        return Plane(self, lift)

    def fixed(self, points: Points) -> NDArray[np.int32]:
        """Image pixels as the fixed-point coordinates that cv2 draws with."""
        origin = np.array([self.left, self.top], np.float64)
        local = (points - origin) * self.scale - 0.5
        limited = np.clip(local, -30000.0, 30000.0)
        return np.asarray(np.round(limited * (1 << _SHIFT)), np.int32)

    def mask(self, points: Points) -> NDArray[np.uint8]:
        """Coverage of a polygon of image points, 0..255, in the canvas's own resolution."""
        mask: NDArray[np.uint8] = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.fixed(points)], 255, cv2.LINE_AA, _SHIFT)
        return mask

    def reduced(self) -> NDArray[np.uint8]:
        """The finished picture, one pixel for one pixel of the image."""
        if self.scale == 1:
            return self.pixels
        size = (self.width, self.height)
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    def emboss(self, strength: float, spread: float) -> None:
        """Round the object's volume: light from above, darker below and at the rims.

        `spread` is the depth of the effect as a share of the canvas's height.
        """
        alpha = self.pixels[:, :, 3]
        sigma = max(spread * alpha.shape[0], 1.0)
        factor = min(1.0, 4.0 / sigma)
        small = cv2.resize(alpha, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small.astype(np.float32) / 255.0, (0, 0), sigma * factor)
        slope = np.gradient(soft, axis=0) * (sigma * factor) * 1.6
        light = 1.0 + strength * np.clip(slope, -0.6, 0.6)
        light = cv2.resize(
            light.astype(np.float32),
            (alpha.shape[1], alpha.shape[0]),
            interpolation=cv2.INTER_LINEAR,
        )
        rgb = self.pixels[:, :, :3]
        np.minimum(rgb * light[:, :, None], alpha[:, :, None], out=rgb, casting="unsafe")

    def speckle(self, rng: np.random.Generator, strength: float, grain: float) -> None:
        """Uneven the surface: coats, dirt. `grain` is in image pixels."""
        height, width = self.pixels.shape[:2]
        cell = max(grain * self.scale, 1.0)
        coarse = rng.normal(
            1.0, strength, (max(2, int(height / cell)), max(2, int(width / cell)))
        ).astype(np.float32)
        light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        rgb = self.pixels[:, :, :3]
        limit = self.pixels[:, :, 3:]
        rgb[:] = np.minimum(np.clip(rgb * light[:, :, None], 0, 255), limit).astype(np.uint8)


class Plane:
    """Drawing primitives on a flat or bent surface of an object, in the object's own units."""

    def __init__(self, canvas: Canvas, lift: Callable[[Points], Points]) -> None:
        self.canvas = canvas
        self._lift = lift

    def lift(self, points: ArrayLike) -> Points:
        """Points of the surface as image pixels."""
        return self._lift(np.asarray(points, np.float64))

    def polygon(self, points: ArrayLike, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        self._fill(self.lift(points), colour, opacity)

    def _fill(self, lifted: Points, colour: Colour, opacity: float) -> None:
        pixels, fixed = self.canvas.pixels, self.canvas.fixed(lifted)
        if opacity >= 1.0:
            cv2.fillPoly(pixels, [fixed], (*colour, 255), cv2.LINE_AA, _SHIFT)
            return
        left, top = np.maximum(fixed.min(0) // (1 << _SHIFT) - 2, 0)
        right, bottom = np.maximum(fixed.max(0) // (1 << _SHIFT) + 3, 0)
        region = pixels[top:bottom, left:right]
        if region.size == 0:
            return
        covered = region.copy()
        moved = fixed - np.array([left, top], np.int32) * (1 << _SHIFT)
        cv2.fillPoly(covered, [moved], (*colour, 255), cv2.LINE_AA, _SHIFT)
        region[:] = cv2.addWeighted(covered, opacity, region, 1.0 - opacity, 0.0)

    def smooth(self, points: ArrayLike, colour: Colour, opacity: float = 1.0) -> None:
        """Fill the closed curve through the points."""
        self.polygon(spline(points), colour, opacity)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        turn: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill an ellipse."""
        self.polygon(ring(x, y, rx, ry, turn), colour, opacity)

    def spot(
        self, centre: ArrayLike, rx: float, ry: float, colour: Colour, turn: float = 0.0
    ) -> None:
        """Fill an ellipse around a point."""
        x, y = np.asarray(centre, np.float64).tolist()
        self.ellipse(x, y, rx, ry, colour, turn)

    def rectangle(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: Colour,
        radius: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill a rectangle, with round corners if a radius is given."""
        if radius > 0:
            self.polygon(rounded(x0, y0, x1, y1, radius), colour, opacity)
        else:
            self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, opacity)

    def limb(self, points: Sequence[ArrayLike], widths: Sequence[float], colour: Colour) -> None:
        """A chain of tapered segments with round joints; `widths` are full widths at the points."""
        joints = np.array(points, np.float64)
        for (start, end), (w0, w1) in zip(pairwise(joints), pairwise(widths), strict=True):
            along = end - start
            length = float(np.hypot(*along)) or 1e-6
            normal = np.array([-along[1], along[0]]) / length / 2
            self.polygon(
                [start + normal * w0, end + normal * w1, end - normal * w1, start - normal * w0],
                colour,
            )
        for (x, y), width in zip(joints, widths, strict=True):
            self.polygon(ring(x, y, width / 2, width / 2, vertices=12), colour)

    @contextmanager
    def clip(self, points: ArrayLike) -> Iterator[None]:
        """Keep what is drawn meanwhile inside the polygon."""
        before = self.canvas.pixels.copy()
        yield
        mask = self.canvas.mask(self.lift(points))
        pixels = self.canvas.pixels
        cv2.copyTo(
            before, cv2.bitwise_not(cv2.threshold(mask, 0, 255, cv2.THRESH_BINARY)[1]), pixels
        )
        rim = cv2.inRange(mask, np.array([1]), np.array([254])) > 0
        if rim.any():
            share = mask[rim][:, None].astype(np.float32) / 255.0
            pixels[rim] = (pixels[rim] * share + before[rim] * (1 - share)).astype(np.uint8)

    def shade(self, points: ArrayLike, top_light: float, bottom_light: float) -> None:
        """Multiply what is drawn inside the polygon by a light that changes downwards."""
        lifted = self.lift(points)
        mask = self.canvas.mask(lifted)
        left, top, width, height = cv2.boundingRect(mask)
        if not width:
            return
        light = np.linspace(top_light, bottom_light, height, dtype=np.float32)[:, None]
        inside = mask[top : top + height, left : left + width]
        factor = 1.0 + (light - 1.0) * (inside.astype(np.float32) / 255.0)
        region = self.canvas.pixels[top : top + height, left : left + width]
        lit = np.minimum(region[:, :, :3] * factor[:, :, None], region[:, :, 3:])
        region[:, :, :3] = lit.astype(np.uint8)
