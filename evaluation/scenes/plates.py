"""The plates of traffic signs: shape, colours and what is on them."""

from __future__ import annotations

import numpy as np

from evaluation.scenes.canvas import Plane, Points, ring
from evaluation.scenes.glyphs import INK, WARNINGS, WHITE, draw_digits
from evaluation.scenes.styles import Style


def _rounded(corners: Points, radius: float) -> Points:
    parts = []
    for before, corner, after in zip(
        np.roll(corners, 1, 0), corners, np.roll(corners, -1, 0), strict=True
    ):
        a = corner + (before - corner) / np.linalg.norm(before - corner) * radius
        b = corner + (after - corner) / np.linalg.norm(after - corner) * radius
        t = np.linspace(0, 1, 5)[:, None]
        parts.append((1 - t) ** 2 * a + 2 * t * (1 - t) * corner + t**2 * b)
    return np.concatenate(parts)


def _triangle(scale: float, down: bool = False) -> Points:
    height = 1.732
    corners = np.array([(-1.0, -height / 3), (1.0, -height / 3), (0.0, 2 * height / 3)]) * scale
    return _rounded(corners * (1, -1) if down else corners, 0.16 * scale)


def _disc(scale: float) -> Points:
    return ring(0, 0, scale, scale, vertices=40)


def _octagon(scale: float) -> Points:
    angles = np.pi / 8 + np.arange(8) * np.pi / 4
    return np.stack([np.cos(angles), np.sin(angles)], 1) * 1.05 * scale


def draw_plate(plane: Plane, kind: str, style: Style, rng: np.random.Generator) -> str:
    """Draws the plate of a kind of sign and returns the variant of its picture."""
    red = style.tint("sign/red", (0.98, 1.01), (0.8, 0.95), (0.68, 0.82))
    blue = style.tint("sign/blue", (0.58, 0.62), (0.75, 0.95), (0.5, 0.68))
    rim = style.trait("sign/rim", 0.7, 0.8)
    if kind in WARNINGS:
        field = (246, 206, 40) if style.trait("sign/yellow", 0, 1) < 0.3 else WHITE
        plane.polygon(_triangle(1.0), red)
        plane.polygon(_triangle(rim * 0.92), field)
        inner = plane.canvas.plane(
            lambda p: plane.lift(p * style.trait("sign/glyph", 0.86, 1.05) + (0.0, -0.06))
        )
        return WARNINGS[kind](inner, style, rng)
    if kind == "yield-sign":
        plane.polygon(_triangle(1.0, True), red)
        plane.polygon(_triangle(rim * 0.85, True), WHITE)
    elif kind == "stop-sign":
        plane.polygon(_octagon(1.0), WHITE)
        plane.polygon(_octagon(0.93), red)
        for position in (-0.54, -0.2, 0.16, 0.52):
            plane.rectangle(position - 0.12, -0.22, position + 0.12, 0.22, WHITE, 0.06)
            plane.rectangle(position - 0.03, -0.1, position + 0.05, 0.12, red)
    elif kind == "no-entry-sign":
        plane.polygon(_disc(1.0), WHITE)
        plane.polygon(_disc(0.95), red)
        plane.rectangle(-0.68, -0.16, 0.68, 0.16, WHITE)
    elif kind == "speed-limit-sign":
        number = str(rng.choice(["30", "40", "50", "60", "70", "80", "90", "100", "120"]))
        plane.polygon(_disc(1.0), red)
        plane.polygon(_disc(rim), WHITE)
        draw_digits(plane, number, 0.62 if len(number) < 3 else 0.48, INK)
        return number
    elif kind == "no-overtaking-sign":
        plane.polygon(_disc(1.0), red)
        plane.polygon(_disc(rim), WHITE)
        for x, colour in ((-0.3, red), (0.3, INK)):
            plane.rectangle(x - 0.22, -0.2, x + 0.22, 0.06, colour, 0.06)
            plane.rectangle(x - 0.14, 0.0, x + 0.14, 0.22, colour, 0.06)
    elif kind == "priority-road-sign":
        for size, colour in ((1.0, WHITE), (0.72, (246, 200, 30))):
            plane.polygon([(-size, 0), (0, size), (size, 0), (0, -size)], colour)
    elif kind == "parking-sign":
        plane.rectangle(-0.9, -0.9, 0.9, 0.9, WHITE, 0.12)
        plane.rectangle(-0.84, -0.84, 0.84, 0.84, blue, 0.1)
        plane.limb([(-0.25, -0.55), (-0.25, 0.5)], [0.2, 0.2], WHITE)
        bow = [(-0.25, 0.5), (0.1, 0.5), (0.3, 0.3), (0.3, 0.12), (0.1, -0.05), (-0.25, -0.05)]
        plane.limb(bow, [0.18] * 6, WHITE)
    elif kind == "one-way-sign":
        plane.rectangle(-1.0, -0.42, 1.0, 0.42, blue, 0.06)
        side = 1 if rng.random() < 0.5 else -1
        plane.polygon(
            [
                (side * x, y)
                for x, y in (
                    (-0.8, -0.13),
                    (0.3, -0.13),
                    (0.3, -0.3),
                    (0.85, 0),
                    (0.3, 0.3),
                    (0.3, 0.13),
                    (-0.8, 0.13),
                )
            ],
            WHITE,
        )
    elif kind == "roundabout-sign":
        plane.polygon(_disc(1.0), WHITE)
        plane.polygon(_disc(0.95), blue)
        for third in range(3):
            angles = np.linspace(0.15, 1.55, 7) + third * 2 * np.pi / 3
            plane.limb([(0.52 * np.cos(a), 0.52 * np.sin(a)) for a in angles], [0.17] * 7, WHITE)
            tip, turn = 1.9 + third * 2 * np.pi / 3, 1.5 + third * 2 * np.pi / 3
            plane.polygon(
                [
                    (0.54 * np.cos(tip), 0.54 * np.sin(tip)),
                    (0.74 * np.cos(turn), 0.74 * np.sin(turn)),
                    (0.3 * np.cos(turn), 0.3 * np.sin(turn)),
                ],
                WHITE,
            )
    else:
        field = style.choose("direction/field", (blue, (26, 110, 64), (244, 204, 40), WHITE))
        ink = INK if sum(field) > 400 else WHITE
        plane.rectangle(-1.6, -0.7, 1.6, 0.7, ink, 0.1)
        plane.rectangle(-1.54, -0.64, 1.54, 0.64, field, 0.08)
        for line in (0.28, -0.24):
            position = -1.3
            while position < 0.7:
                width = float(rng.uniform(0.05, 0.14))
                plane.rectangle(position, line - 0.13, position + width, line + 0.13, ink)
                position += width + 0.05
        plane.polygon(
            [
                (0.95, -0.1),
                (1.25, -0.1),
                (1.25, -0.3),
                (1.48, 0.0),
                (1.25, 0.3),
                (1.25, 0.1),
                (0.95, 0.1),
            ],
            ink,
        )
    return "plain"
