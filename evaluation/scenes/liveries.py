"""Markings of service vehicles: stripes, checks, emblems, light bars, and of vans that have none.

An ambulance is white or yellow with a blue (or red) light bar, a medical emblem and coloured
stripes or checks. Delivery vans share the body, the colours and often a stripe or a round logo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.scenes.bodywork import DARK, Paint, Solid
from evaluation.scenes.canvas import Plane, Points
from evaluation.scenes.styles import Colour, Style, hsv, jitter, shade

BLUE_LIGHT: Colour = (40, 90, 255)
WHITE: Colour = (238, 239, 240)


@dataclass(frozen=True)
class Livery:
    """Body colour and what is painted on it; `bar` is the colour of the light bar, if any."""

    body: Colour
    name: str
    pattern: str = "plain"
    first: Colour = WHITE
    second: Colour = WHITE
    emblem: str = "none"
    emblem_colour: Colour = (30, 70, 160)
    bar: Colour | None = None
    roof: Colour | None = None
    level: float = 0.5
    depth: float = 0.2
    attributes: dict[str, str] = field(default_factory=dict)

    def paint_side(
        self, plane: Plane, profile: Points, length: float, belt: float, top: float
    ) -> None:
        """Paint the markings on a side, within its profile."""
        if self.pattern == "plain" and self.emblem == "none":
            return
        left, right = float(profile[:, 0].min()), float(profile[:, 0].max())
        low = 0.45
        high = top if top > 1.9 else belt
        with plane.clip(profile):
            self._pattern(plane, left, right, low, high, length)
            tall = top > 1.9
            if self.emblem != "none":
                size = (0.3 if tall else 0.2) * (1.0 + self.depth)
                y = min(belt + 0.42, top - 0.5) if tall else belt * 0.72
                x = left + (right - left) * (0.3 if tall else 0.48)
                emblem(plane, self.emblem, x, y, size, self.emblem_colour)

    def _pattern(
        self, plane: Plane, left: float, right: float, low: float, high: float, length: float
    ) -> None:
        middle = low + (high - low) * self.level
        depth = self.depth * (high - low)
        if self.pattern in ("band", "double", "swoosh"):
            y0, y1 = middle - depth / 2, middle + depth / 2
            if self.pattern == "swoosh":
                x = left + 0.62 * (right - left)
                shape = [
                    (left, y0 - depth),
                    (x, y0),
                    (right, y0),
                    (right, y1),
                    (x, y1),
                    (left, y1 + depth * 0.5),
                ]
                plane.polygon(shape, self.first)
            else:
                plane.rectangle(left, y0, right, y1, self.first)
            if self.pattern == "double":
                plane.rectangle(left, y0 - depth * 0.7, right, y0 - depth * 0.2, self.second)
        elif self.pattern == "battenberg":
            checks(plane, left, right, middle, max(depth, 0.3), self.first, self.second)
        elif self.pattern == "lower":
            plane.rectangle(left, low - 0.3, right, middle - depth * 0.3, self.first)
        elif self.pattern == "doors":
            plane.rectangle(-length * 0.2, low - 0.3, length * 0.2, high * 2, self.first)
        elif self.pattern == "checker-line":
            checks(plane, left, right, middle, 0.2, self.first, self.second, 0.12)

    def end(self, painter: Paint, width: float, belt: float, forward: bool) -> Paint:
        """The painter of an end with the markings added under the lamps and windows."""
        if self.pattern == "plain" and self.emblem == "none":
            return painter

        def paint(plane: Plane) -> None:
            tall = belt > 1.15
            if self.pattern in ("battenberg", "lower") and not forward and tall:
                chevrons(plane, width, 0.5, belt, self.first, self.second)
            elif self.pattern in ("band", "double", "swoosh", "battenberg"):
                y = belt * (0.86 if tall else 0.8)
                plane.rectangle(-width, y - 0.09, width, y + 0.07, self.first)
            painter(plane)
            if self.emblem != "none" and tall:
                y = belt * 0.84 if forward else belt - 0.16
                emblem(plane, self.emblem, 0.0, y, 0.2, self.emblem_colour)
                if self.emblem in ("star", "cross"):
                    top = belt + (0.95 if forward else 1.0)
                    plane.rectangle(-0.5, top - 0.12, 0.5, top + 0.04, self.first)

        return paint


def checks(
    plane: Plane,
    left: float,
    right: float,
    middle: float,
    depth: float,
    first: Colour,
    second: Colour,
    cell: float | None = None,
) -> None:
    """Two rows of checks in two colours (Battenberg markings)."""
    step = cell if cell is not None else depth * 0.95
    for row in range(2):
        y0 = middle + (row - 1) * depth / 2
        for k in range(int((right - left) / step) + 1):
            x0 = left + k * step
            plane.rectangle(x0, y0, x0 + step, y0 + depth / 2, first if (k + row) % 2 else second)


def chevrons(
    plane: Plane, width: float, low: float, high: float, first: Colour, second: Colour
) -> None:
    """Slanted stripes that meet in the middle, as on the rear of emergency vehicles."""
    with plane.clip([(-width, low), (width, low), (width, high), (-width, high)]):
        plane.rectangle(-width, low, width, high, second)
        step = width * 0.42
        for k in range(-2, 7):
            y = low + k * step
            for s in (-1, 1):
                corners = [(0.0, y + width * 0.6), (s * width, y - width * 0.4)]
                corners += [
                    (s * width, y - width * 0.4 - step / 2),
                    (0.0, y + width * 0.6 - step / 2),
                ]
                plane.polygon(corners, first)


def emblem(plane: Plane, kind: str, x: float, y: float, size: float, colour: Colour) -> None:
    """A star of life, a cross, a shield or a round logo; `size` is its radius."""
    if kind in ("star", "cross"):
        plane.ellipse(x, y, size * 1.12, size * 1.12, WHITE)
        for angle in (90, 30, 150) if kind == "star" else (0, 90):
            dx, dy = np.cos(np.radians(angle)) * size, np.sin(np.radians(angle)) * size
            wide = size * (0.46 if kind == "star" else 0.62)
            nx, ny = -dy / size * wide / 2, dx / size * wide / 2
            bar = [(x + dx + nx, y + dy + ny), (x - dx + nx, y - dy + ny)]
            bar += [(x - dx - nx, y - dy - ny), (x + dx - nx, y + dy - ny)]
            plane.polygon(bar, colour)
    elif kind == "shield":
        shield = [(-0.8, 0.8), (0.0, 1.0), (0.8, 0.8), (0.7, -0.2), (0.0, -1.0), (-0.7, -0.2)]
        plane.polygon([(x + size * a, y + size * b) for a, b in shield], colour)
        plane.ellipse(x, y, size * 0.4, size * 0.4, WHITE)
    elif kind == "disc":
        plane.ellipse(x, y, size, size, colour)
        plane.ellipse(x, y, size * 0.55, size * 0.55, WHITE)
    elif kind == "words":
        for k in range(6):
            x0 = x - size * 2.2 + k * size * 0.75
            plane.rectangle(
                x0, y - size * 0.5, x0 + size * 0.5, y + size * (0.5 - 0.3 * (k % 2)), colour
            )
    elif kind == "slab":
        plane.rectangle(x - size * 2.4, y - size * 0.8, x + size * 2.4, y + size * 0.8, colour)
        plane.rectangle(x - size * 1.8, y - size * 0.25, x + size * 1.8, y + size * 0.25, WHITE)


def light_bar(style: Style, livery: Livery, x: float, top: float, half_width: float) -> list[Solid]:
    """The lights on an emergency vehicle's roof, or a taxi's sign, as a solid."""
    colour = livery.bar or BLUE_LIGHT
    if livery.pattern in ("taxi", "checker-line"):
        sign = np.array(
            [
                (x - 0.13, top - 0.03),
                (x - 0.09, top + 0.2),
                (x + 0.09, top + 0.2),
                (x + 0.13, top - 0.03),
            ]
        )

        def legend(plane: Plane) -> None:
            for k in (-2, -1, 0, 1):
                plane.rectangle(k * 0.13 + 0.03, top + 0.05, k * 0.13 + 0.11, top + 0.14, DARK)

        return [Solid(sign, 0.32, colour, None, legend, legend)]
    tall = style.trait("bar/height", 0.14, 0.24)
    deep = style.trait("bar/depth", 0.12, 0.24)
    split = style.trait("bar/split", 0.0, 1.0) > 0.45
    bar = np.array(
        [
            (x - deep, top - 0.03),
            (x - deep * 0.9, top + tall),
            (x + deep * 0.9, top + tall),
            (x + deep, top - 0.03),
        ]
    )

    def lens(plane: Plane) -> None:
        if split:
            plane.rectangle(-half_width * 0.3, top, half_width * 0.3, top + tall, (225, 228, 232))
        for s in (-1, 1):
            plane.rectangle(
                s * half_width * 0.45, top + tall * 0.3, s * half_width * 0.9, top + tall * 0.8,
                shade(colour, 1.9),
            )  # fmt: skip

    return [Solid(bar, half_width, shade(colour, 0.85), None, lens, lens)]


def _near(style: Style, rng: np.random.Generator, name: str, options: Sequence[str]) -> str:
    """Mostly the style's own option, now and then another."""
    own = style.choose(name, options)
    return own if rng.random() < 0.7 else str(rng.choice(list(options)))


def choose_livery(
    category: str, style: Style, rng: np.random.Generator, colour: Colour, name: str
) -> Livery:
    """What a vehicle of this category looks like in this style; `colour` is its plain colour."""
    if category == "ambulance":
        return _ambulance(style, rng, colour)
    if category == "police-car":
        return _police(style, rng)
    if category == "taxi":
        hue, value = style.trait("taxi/hue", 0.115, 0.16), style.trait("taxi/value", 0.85, 1.0)
        dark = style.trait("taxi/dark", 0.0, 1.0) > 0.8
        body = (30, 30, 33) if dark else hsv(hue, style.trait("taxi/saturation", 0.7, 1.0), value)
        sign = (250, 226, 90) if dark else (250, 248, 225)
        return Livery(
            body, "black" if dark else "yellow", "checker-line", DARK, WHITE, bar=sign, level=0.75
        )
    if category == "van":
        return _van(style, rng, colour, name)
    return Livery(colour, name)


def _stripe(style: Style, rng: np.random.Generator) -> tuple[Colour, str]:
    hues = {"red": 0.995, "orange": 0.055, "green": 0.39, "blue": 0.61}
    name = _near(style, rng, "ambulance/stripe", tuple(hues))
    hue = hues[name] + style.trait("ambulance/hue", -0.02, 0.02)
    bright = {"red": 0.8, "orange": 0.96, "green": 0.55, "blue": 0.66}[name]
    return jitter(rng, hsv(hue, style.trait("ambulance/saturation", 0.8, 1.0), bright), 10), name


def _ambulance(style: Style, rng: np.random.Generator, white: Colour) -> Livery:
    yellow = rng.random() < style.trait("ambulance/yellow", -0.1, 0.9)
    lemon = hsv(
        style.trait("ambulance/lemon", 0.14, 0.185), style.trait("ambulance/fill", 0.72, 0.95), 0.93
    )
    stripe, name = _stripe(style, rng)
    pattern = _near(
        style, rng, "ambulance/pattern", ("band", "double", "swoosh", "battenberg", "lower")
    )
    second = {"battenberg": (232, 226, 60) if not yellow else (240, 240, 236)}.get(pattern, stripe)
    if pattern == "double":
        second = shade(stripe, 0.6)
    if pattern == "lower":
        second = (238, 222, 70)
    kind = _near(style, rng, "ambulance/emblem", ("star", "star", "cross"))
    tint = (205, 25, 30) if kind == "cross" else (25, 75, 175)
    bar = (
        BLUE_LIGHT
        if style.trait("ambulance/bar", 0, 1) < 0.85 or rng.random() < 0.4
        else (235, 40, 30)
    )
    return Livery(
        lemon if yellow else white,
        "yellow" if yellow else "white",
        pattern, stripe, second, kind, tint, bar,
        level=style.trait("ambulance/level", 0.26, 0.46),
        depth=style.trait("ambulance/depth", 0.14, 0.26),
        attributes={"stripe": name, "pattern": pattern},
    )  # fmt: skip


def _police(style: Style, rng: np.random.Generator) -> Livery:
    kind = _near(style, rng, "police/kind", ("battenberg", "band", "doors", "lower"))
    dark = kind == "doors" and style.trait("police/black", 0, 1) > 0.4
    body = (26, 27, 32) if dark else hsv(0.6, 0.03, style.trait("police/value", 0.7, 0.95))
    blue = hsv(style.trait("police/hue", 0.57, 0.66), 0.85, style.trait("police/blue", 0.45, 0.75))
    green = hsv(style.trait("police/green", 0.36, 0.42), 0.85, 0.45)
    stripe = green if style.trait("police/is-green", 0, 1) > 0.75 else blue
    second = hsv(0.17, 0.8, 0.92) if kind == "battenberg" else WHITE
    first = WHITE if dark else stripe
    return Livery(
        body, "black" if dark else "white", kind, first, second, "shield", stripe, BLUE_LIGHT,
        level=0.62, depth=style.trait("police/depth", 0.3, 0.5), attributes={"pattern": kind},
    )  # fmt: skip


def _van(style: Style, rng: np.random.Generator, colour: Colour, name: str) -> Livery:
    if rng.random() < 0.18:
        colour, name = hsv(style.trait("van/yellow", 0.12, 0.16), 0.88, 0.93), "yellow"
    accent = hsv(float(rng.random()), float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.35, 0.85)))
    pattern = str(
        rng.choice(["plain", "band", "double", "swoosh", "lower"], p=[0.48, 0.18, 0.08, 0.14, 0.12])
    )
    logo = str(rng.choice(["none", "disc", "words", "slab"], p=[0.4, 0.16, 0.26, 0.18]))
    return Livery(
        colour, name, pattern, accent, shade(accent, 0.7), logo, accent,
        level=float(rng.uniform(0.25, 0.6)), depth=float(rng.uniform(0.1, 0.3)),
        attributes={"pattern": pattern},
    )  # fmt: skip
