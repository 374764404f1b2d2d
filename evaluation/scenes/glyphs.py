"""The pictures on warning triangles, and digits. The plate's half width is 1, y points up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from evaluation.scenes.canvas import Plane
from evaluation.scenes.styles import Colour, Style

INK: Colour = (24, 24, 26)
WHITE: Colour = (240, 240, 236)
Glyph = Callable[[Plane, Style, np.random.Generator], str]


def _road_narrows(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    kind = str(rng.choice(["both", "left", "right"], p=[0.6, 0.2, 0.2]))
    weight = style.trait("narrows/weight", 0.085, 0.14)
    wide, slim = style.trait("narrows/wide", 0.3, 0.4), style.trait("narrows/slim", 0.1, 0.16)
    bend = style.trait("narrows/bend", -0.12, 0.0)
    straight = [(wide * 0.8, -0.42), (wide * 0.8, 0.3)]
    bent = [(wide, -0.42), (wide, bend - 0.08), (slim, bend + 0.16), (slim, 0.34)]
    for side, name in ((1, "right"), (-1, "left")):
        line = bent if kind in ("both", name) else straight
        plane.limb([(side * x, y) for x, y in line], [weight] * len(line), INK)
    return kind


def _animal(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    lean = style.trait("sign/leap", 0.1, 0.35)
    plane.smooth(
        [(-0.3, -0.1), (-0.1, 0.04), (0.18, 0.1 + lean * 0.3), (0.2, -0.08), (-0.1, -0.18)], INK
    )
    for x, foot in ((-0.25, -0.42), (-0.15, -0.3), (0.1, 0.36), (0.18, 0.42)):
        plane.limb([(x, -0.08), (foot, -0.24 if foot > 0 else -0.4)], [0.07, 0.035], INK)
    plane.limb([(0.16, 0.05), (0.28, 0.24), (0.4, 0.2)], [0.12, 0.08, 0.04], INK)
    plane.limb([(0.26, 0.24), (0.16, 0.42)], [0.035, 0.02], INK)
    plane.limb([(0.28, 0.24), (0.3, 0.44)], [0.035, 0.02], INK)
    return "leaping"


def _curve(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    side = 1 if rng.random() < 0.5 else -1
    weight = style.trait("curve/weight", 0.1, 0.16)
    line = [(0.12, -0.42), (0.12, -0.1), (0.02, 0.1), (-0.18, 0.22)]
    plane.limb([(side * x, y) for x, y in line], [weight] * 4, INK)
    plane.polygon([(side * x, y) for x, y in ((-0.14, 0.36), (-0.34, 0.24), (-0.2, 0.06))], INK)
    return "left" if side > 0 else "right"


def _walker(plane: Plane, x: float, size: float, colour: Colour) -> None:
    plane.ellipse(x, 0.3 * size, 0.075 * size, 0.08 * size, colour)
    plane.limb([(x, 0.18 * size), (x - 0.02, -0.08 * size)], [0.16 * size, 0.13 * size], colour)
    for foot in (-0.18, 0.16):
        plane.limb(
            [(x, -0.06 * size), (x + foot * size, -0.42 * size)], [0.09 * size, 0.06 * size], colour
        )
    for hand in (-0.2, 0.19):
        plane.limb(
            [(x, 0.15 * size), (x + hand * size, -0.08 * size)], [0.07 * size, 0.045 * size], colour
        )


def _pedestrian(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    _walker(plane, 0.0, 0.95, INK)
    for x in (-0.32, -0.12, 0.12, 0.32):
        plane.rectangle(x - 0.05, -0.46, x + 0.05, -0.38, INK)
    return "walking"


def _children(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    _walker(plane, -0.14, 0.85, INK)
    _walker(plane, 0.2, 0.7, INK)
    return "two"


def _roadworks(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    plane.ellipse(-0.02, 0.28, 0.07, 0.08, INK)
    plane.limb([(-0.04, 0.18), (-0.16, -0.1)], [0.14, 0.15], INK)
    plane.limb([(-0.16, -0.1), (-0.3, -0.4)], [0.1, 0.06], INK)
    plane.limb([(-0.14, -0.1), (-0.02, -0.4)], [0.1, 0.06], INK)
    plane.limb([(-0.02, 0.14), (0.24, -0.26)], [0.05, 0.05], INK)
    plane.smooth([(0.06, -0.44), (0.24, -0.18), (0.42, -0.44)], INK)
    return "digging"


def _slippery(plane: Plane, style: Style, rng: np.random.Generator) -> str:
    plane.rectangle(-0.16, 0.02, 0.16, 0.18, INK, 0.04)
    plane.rectangle(-0.1, 0.14, 0.1, 0.3, INK, 0.05)
    for x in (-0.13, 0.13):
        wave = [(x + 0.09 * np.sin(t * 2.2), -0.02 - 0.1 * t) for t in np.linspace(0, 4.2, 9)]
        plane.limb(wave, [0.045] * 9, INK)
    return "skidding"


WARNINGS: Mapping[str, Glyph] = {
    "road-narrows-sign": _road_narrows,
    "animal-warning-sign": _animal,
    "curve-warning-sign": _curve,
    "pedestrian-crossing-sign": _pedestrian,
    "children-sign": _children,
    "roadworks-sign": _roadworks,
    "slippery-road-sign": _slippery,
}

SEGMENTS = {
    "0": "abcdef",
    "1": "bc",
    "2": "abged",
    "3": "abgcd",
    "4": "fgbc",
    "5": "afgcd",
    "6": "afgedc",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
}
STROKES = {
    "a": ((0, 2), (1, 2)),
    "b": ((1, 2), (1, 1)),
    "c": ((1, 1), (1, 0)),
    "d": ((0, 0), (1, 0)),
    "e": ((0, 1), (0, 0)),
    "f": ((0, 2), (0, 1)),
    "g": ((0, 1), (1, 1)),
}


def draw_digits(plane: Plane, text: str, height: float, colour: Colour) -> None:
    """Writes a number around the plate's centre."""
    unit, step = height / 2, height * 0.68
    left = -step * len(text) / 2 + step * 0.14
    for place, digit in enumerate(text):
        for name in SEGMENTS[digit]:
            line = [
                (left + place * step + x * step * 0.62, (y - 1) * unit) for x, y in STROKES[name]
            ]
            plane.limb(line, [height * 0.17] * 2, colour)
