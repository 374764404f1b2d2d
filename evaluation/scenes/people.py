"""People on foot and on two wheels, and the two-wheelers."""

from __future__ import annotations

import numpy as np

from evaluation.scenes.camera import Camera
from evaluation.scenes.canvas import Canvas, Plane, Sprite, ring
from evaluation.scenes.styles import Colour, Style, hsv, shade

CLOTHES = {
    "red": (0.99, 0.75, 0.72),
    "blue": (0.6, 0.65, 0.6),
    "green": (0.36, 0.5, 0.48),
    "yellow": (0.14, 0.8, 0.88),
    "white": (0.1, 0.04, 0.9),
    "black": (0.6, 0.1, 0.14),
    "grey": (0.6, 0.05, 0.45),
    "orange": (0.07, 0.85, 0.9),
}
SKINS: tuple[Colour, ...] = ((238, 200, 172), (214, 164, 128), (164, 112, 80), (104, 68, 48))


def _clothing(style: Style, rng: np.random.Generator) -> tuple[str, Colour, Colour]:
    name = str(rng.choice(list(CLOTHES)))
    hue, saturation, value = CLOTHES[name]
    top = hsv(
        hue + style.trait("cloth/hue", -0.02, 0.02),
        saturation,
        value * style.trait("cloth/value", 0.85, 1.08),
    )
    legs = hsv(
        float(rng.choice([0.6, 0.62, 0.08])),
        float(rng.uniform(0.05, 0.5)),
        float(rng.uniform(0.12, 0.5)),
    )
    return name, top, legs


def _figure(
    plane: Plane,
    hip: tuple[float, float],
    lean: float,
    top: Colour,
    skin: Colour,
    hair: Colour,
    arms: list[tuple[float, float]],
    style: Style,
) -> None:
    """Trunk, arms and head; `hip` is where the trunk begins, heights in metres."""
    x, y = hip
    shoulder = (x + lean, y + 0.52)
    wide = style.trait("person/wide", 0.3, 0.4)
    for hand in arms[:1]:
        plane.limb(
            [shoulder, ((shoulder[0] + hand[0]) / 2, (shoulder[1] + hand[1]) / 2 - 0.04), hand],
            [0.13, 0.1, 0.08],
            shade(top, 0.7),
        )
    plane.limb(
        [hip, ((x + shoulder[0]) / 2, y + 0.28), shoulder], [wide * 0.85, wide * 0.9, wide], top
    )
    for hand in arms[1:]:
        plane.limb(
            [shoulder, ((shoulder[0] + hand[0]) / 2, (shoulder[1] + hand[1]) / 2 - 0.04), hand],
            [0.14, 0.11, 0.08],
            shade(top, 0.88),
        )
        plane.ellipse(*hand, 0.05, 0.05, skin)
    head = (shoulder[0] + lean * 0.3, shoulder[1] + 0.24)
    plane.limb([shoulder, head], [0.12, 0.12], skin)
    plane.ellipse(*head, 0.105, 0.14, skin)
    plane.polygon(ring(head[0] - 0.01, head[1] + 0.05, 0.115, 0.1), hair)


def draw_pedestrian(
    camera: Camera, x: float, depth: float, style: Style, rng: np.random.Generator
) -> Sprite:
    """Someone who walks or stands."""
    height = float(rng.choice([rng.uniform(0.93, 1.07), rng.uniform(0.62, 0.8)], p=[0.85, 0.15]))
    mirror = bool(rng.random() < 0.5)
    lift = camera.upright(x, depth, mirror=mirror, squeeze=float(rng.uniform(0.7, 1.0)))
    corners = lift(np.array([(-0.6, -0.05), (0.65, 1.95)]) * height)
    low, high = corners.min(0), corners.max(0)
    canvas = Canvas((low[0], low[1], high[0], high[1]))
    plane = canvas.plane(lambda p: lift(p * height))
    name, top, legs = _clothing(style, rng)
    stride = float(rng.choice([0.04, rng.uniform(0.15, 0.34)], p=[0.3, 0.7]))
    for swing, tone in ((-stride, shade(legs, 0.7)), (stride, legs)):
        knee = (swing * 0.55 + 0.04, 0.46)
        plane.limb([(0.0, 0.86), knee, (swing, 0.08)], [0.2, 0.15, 0.1], tone)
        plane.limb([(swing - 0.03, 0.04), (swing + 0.13, 0.04)], [0.09, 0.07], (30, 28, 28))
    skin, hair = SKINS[int(rng.integers(4))], hsv(0.08, 0.5, float(rng.uniform(0.08, 0.5)))
    _figure(
        plane,
        (0.0, 0.86),
        0.03,
        top,
        skin,
        hair,
        [(-stride * 0.8, 0.85), (stride * 0.8, 0.86)],
        style,
    )
    if rng.random() < 0.3:
        bag = hsv(float(rng.random()), 0.5, 0.4)
        plane.rectangle(-0.32, 0.95, -0.1, 1.35, bag, 0.08)
    canvas.emboss(0.35, 0.03)
    foot = lift(np.zeros((1, 2)))[0]
    return Sprite(
        canvas.reduced(),
        canvas.left,
        canvas.top,
        depth,
        "pedestrian",
        {"colour": name, "view": "side"},
        (),
        (float(foot[0]), float(foot[1]), 0.35 * camera.scale(depth), 0.06 * camera.scale(depth)),
    )


def draw_two_wheeler(
    category: str, camera: Camera, x: float, depth: float, style: Style, rng: np.random.Generator
) -> Sprite:
    """A cyclist, a parked bicycle, or a motorcycle with its rider; seen from the side."""
    mirror = bool(rng.random() < 0.5)
    lift = camera.upright(x, depth, mirror=mirror, squeeze=float(rng.uniform(0.55, 1.0)))
    corners = lift(np.array([(-1.15, -0.05), (1.15, 1.95)]))
    low, high = corners.min(0), corners.max(0)
    canvas = Canvas((low[0], low[1], high[0], high[1]))
    plane = canvas.plane(lift)
    name, top, legs = _clothing(style, rng)
    paint = hsv(
        float(rng.random()), style.trait("cycle/saturation", 0.4, 0.9), float(rng.uniform(0.3, 0.8))
    )
    if category == "motorcycle":
        for wheel in (-0.68, 0.7):
            plane.ellipse(wheel, 0.31, 0.31, 0.31, (24, 24, 26))
            plane.ellipse(wheel, 0.31, 0.18, 0.18, (120, 120, 126))
            plane.ellipse(wheel, 0.31, 0.12, 0.12, (40, 40, 44))
        plane.limb([(-0.68, 0.31), (-0.1, 0.5), (0.3, 0.45)], [0.14, 0.4, 0.3], (60, 60, 66))
        plane.limb([(0.7, 0.31), (0.42, 0.95)], [0.07, 0.09], (130, 130, 136))
        plane.smooth(
            [
                (-0.75, 0.8),
                (-0.2, 0.76),
                (0.1, 0.95),
                (0.5, 0.92),
                (0.55, 0.7),
                (0.1, 0.58),
                (-0.5, 0.66),
            ],
            paint,
        )
        plane.ellipse(0.58, 0.86, 0.09, 0.11, (236, 236, 220))
        plane.limb([(-0.2, 0.86), (0.2, 0.66), (0.02, 0.32)], [0.2, 0.17, 0.12], legs)
        _figure(
            plane,
            (-0.22, 0.86),
            0.22,
            top,
            (40, 40, 44),
            style.choose("helmet", ((30, 30, 34), (200, 30, 30), (230, 230, 226))),
            [(0.42, 1.05), (0.44, 1.06)],
            style,
        )
        plane.ellipse(
            0.07,
            1.62,
            0.15,
            0.16,
            style.choose("helmet", ((30, 30, 34), (200, 30, 30), (230, 230, 226))),
        )
    else:
        ink = (34, 34, 38)
        for wheel in (-0.55, 0.55):
            for radius, tone in ((0.35, ink), (0.31, None)):
                if tone is not None:
                    points = np.concatenate(
                        [ring(wheel, 0.35, radius, radius), ring(wheel, 0.35, 0.31, 0.31)[::-1]]
                    )
                    plane.polygon(
                        np.concatenate([points[:24], points[:1], points[24:], points[24:25]]), tone
                    )
            for angle in np.linspace(0, np.pi, 5):
                plane.limb(
                    [
                        (wheel - 0.3 * np.cos(angle), 0.35 - 0.3 * np.sin(angle)),
                        (wheel + 0.3 * np.cos(angle), 0.35 + 0.3 * np.sin(angle)),
                    ],
                    [0.012] * 2,
                    (140, 140, 146),
                )
        frame = [(-0.55, 0.35), (-0.12, 0.35), (0.36, 0.82), (-0.24, 0.84), (-0.12, 0.35)]
        plane.limb(frame, [0.055] * 5, paint)
        plane.limb([(-0.55, 0.35), (-0.24, 0.84)], [0.04] * 2, paint)
        plane.limb([(0.55, 0.35), (0.36, 0.98), (0.46, 1.02)], [0.05, 0.05, 0.04], paint)
        plane.limb([(-0.24, 0.84), (-0.27, 0.96)], [0.04, 0.04], ink)
        plane.limb([(-0.38, 0.98), (-0.16, 0.96)], [0.07, 0.05], ink)
        if category == "cyclist":
            for foot, tone in (((-0.1, 0.24), shade(legs, 0.7)), ((-0.06, 0.46), legs)):
                plane.limb([(-0.24, 0.98), (0.12, 0.72), foot], [0.19, 0.15, 0.09], tone)
            _figure(
                plane,
                (-0.24, 0.98),
                0.26,
                top,
                SKINS[int(rng.integers(4))],
                style.choose("cyclist/helmet", ((30, 30, 34), (230, 230, 226), (60, 40, 30))),
                [(0.44, 1.04), (0.42, 1.03)],
                style,
            )
    canvas.emboss(0.3, 0.02)
    foot_point = lift(np.zeros((1, 2)))[0]
    return Sprite(
        canvas.reduced(),
        canvas.left,
        canvas.top,
        depth,
        category,
        {"colour": name if category != "bicycle" else "any", "view": "side"},
        (),
        (
            float(foot_point[0]),
            float(foot_point[1]),
            0.9 * camera.scale(depth),
            0.07 * camera.scale(depth),
        ),
    )
