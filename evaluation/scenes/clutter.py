"""Street furniture that is annotated: traffic lights, bins, cones, benches, billboards."""

from __future__ import annotations

import numpy as np

from evaluation.scenes.camera import Camera
from evaluation.scenes.canvas import Canvas, Glow, Sprite
from evaluation.scenes.styles import Colour, Style, hsv, jitter, shade

SIZES = {
    "traffic-light": (0.8, 3.6),
    "bin": (0.6, 1.1),
    "cone": (0.5, 0.8),
    "bench": (1.9, 0.95),
    "billboard": (4.4, 4.6),
}
"""Width and height in metres."""


def draw_clutter(
    category: str, camera: Camera, x: float, depth: float, style: Style, rng: np.random.Generator
) -> Sprite:
    """Draws one piece of street furniture."""
    wide, tall = SIZES[category]
    lift = camera.upright(x, depth)
    corners = lift(np.array([(-wide / 2 - 0.1, -0.05), (wide / 2 + 0.1, tall + 0.1)]))
    low, high = corners.min(0), corners.max(0)
    canvas = Canvas((low[0], low[1], high[0], high[1]))
    plane = canvas.plane(lift)
    glows: tuple[Glow, ...] = ()
    grey: Colour = (72, 74, 78)
    if category == "traffic-light":
        plane.rectangle(-0.06, 0.0, 0.06, 2.7, grey)
        plane.rectangle(
            -0.24,
            2.55,
            0.24,
            3.55,
            style.choose("light/case", ((26, 28, 30), (40, 60, 44), (200, 160, 40))),
            0.06,
        )
        on = int(rng.integers(3))
        for lamp, (y, colour) in enumerate(
            ((3.32, (240, 40, 30)), (3.05, (250, 180, 40)), (2.78, (50, 220, 110)))
        ):
            plane.ellipse(0.0, y, 0.12, 0.12, colour if lamp == on else shade(colour, 0.25))
            if lamp == on:
                spot = lift(np.array([(0.0, y)]))[0]
                glows = (Glow(float(spot[0]), float(spot[1]), 0.35 * camera.scale(depth), colour),)
    elif category == "bin":
        colour = style.tint("bin", (0.25, 0.65), (0.2, 0.7), (0.25, 0.55))
        plane.polygon([(-0.24, 0.0), (0.24, 0.0), (0.3, 0.95), (-0.3, 0.95)], colour)
        plane.rectangle(-0.32, 0.93, 0.32, 1.06, shade(colour, 0.7), 0.04)
    elif category == "cone":
        plane.rectangle(-0.25, 0.0, 0.25, 0.06, (40, 40, 42))
        plane.polygon([(-0.17, 0.05), (0.17, 0.05), (0.04, 0.75), (-0.04, 0.75)], (236, 92, 30))
        for y in (0.25, 0.47):
            plane.polygon(
                [
                    (-0.17 + y * 0.18, y),
                    (0.17 - y * 0.18, y),
                    (0.15 - y * 0.18, y + 0.11),
                    (-0.15 + y * 0.18, y + 0.11),
                ],
                (238, 238, 234),
            )
    elif category == "bench":
        wood = style.tint("bench", (0.05, 0.1), (0.4, 0.7), (0.3, 0.55))
        for y in (0.42, 0.62, 0.78):
            plane.rectangle(-0.9, y, 0.9, y + 0.1, wood)
        for foot in (-0.75, 0.75):
            plane.limb([(foot, 0.0), (foot, 0.85)], [0.07, 0.06], grey)
    else:
        for foot in (-1.4, 1.4):
            plane.rectangle(foot - 0.1, 0.0, foot + 0.1, 2.2, grey)
        plane.rectangle(-2.15, 1.9, 2.15, 4.5, (60, 62, 66))
        field = hsv(
            float(rng.random()), float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.5, 0.95))
        )
        plane.rectangle(-2.05, 2.0, 2.05, 4.4, field)
        for _ in range(int(rng.integers(2, 6))):
            a, b = float(rng.uniform(-1.8, 0.6)), float(rng.uniform(2.1, 3.7))
            plane.rectangle(
                a,
                b,
                a + float(rng.uniform(0.3, 1.2)),
                b + float(rng.uniform(0.1, 0.6)),
                jitter(rng, shade(field, 0.5), 60),
            )
    canvas.emboss(0.25, 0.03)
    foot_point = lift(np.zeros((1, 2)))[0]
    scale = camera.scale(depth)
    return Sprite(
        canvas.reduced(),
        canvas.left,
        canvas.top,
        depth,
        category,
        {"view": "front"},
        glows,
        (float(foot_point[0]), float(foot_point[1]), wide / 2 * scale, 0.05 * scale),
    )
