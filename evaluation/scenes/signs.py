"""Traffic signs on poles.

The warning triangles share border, field and size within a style, so that only the glyph tells
them apart.
"""

from __future__ import annotations

import numpy as np

from evaluation.scenes.camera import Camera
from evaluation.scenes.canvas import Canvas, Points, Sprite
from evaluation.scenes.plates import draw_plate
from evaluation.scenes.styles import Style, shade


def draw_sign(
    kind: str, camera: Camera, x: float, depth: float, style: Style, rng: np.random.Generator
) -> tuple[Sprite, Sprite]:
    """The plate (annotated) and its pole (not annotated)."""
    half = (
        style.trait("sign/size", 0.4, 0.5)
        * float(rng.uniform(0.9, 1.15))
        * (1.5 if kind == "direction-sign" else 1.0)
    )
    height = float(rng.uniform(2.0, 2.9)) + (0.5 if kind == "direction-sign" else 0.0)
    tilt, squeeze = float(rng.normal(0, 0.04)), float(rng.uniform(0.72, 1.0))
    lift = camera.upright(x, depth, squeeze=squeeze)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])

    def place(points: Points) -> Points:
        return lift(points @ turn * half + (0.0, height))

    wide = 1.7 if kind == "direction-sign" else 1.15
    corners = place(np.array([(-wide, -1.2), (wide, 1.25), (-wide, 1.25), (wide, -1.2)]))
    low, high = corners.min(0), corners.max(0)
    canvas = Canvas((low[0], low[1], high[0], high[1]))
    glyph = draw_plate(canvas.plane(place), kind, style, rng)
    _age(canvas, style, rng)
    bar = camera.upright(x, depth)
    foot = bar(np.array([(-0.12, -0.02), (0.12, height + 0.3)]))
    low, high = foot.min(0), foot.max(0)
    post = Canvas((low[0], low[1], high[0], high[1]))
    grey = int(style.trait("pole/grey", 95, 165))
    thick = style.trait("pole/thick", 0.05, 0.09)
    shaft = post.plane(bar)
    shaft.rectangle(-thick / 2, 0.0, thick / 2, height + 0.2, (grey, grey, grey + 4))
    shaft.rectangle(0.0, 0.0, thick / 2, height + 0.2, shade((grey, grey, grey), 0.75))
    plate = Sprite(
        canvas.reduced(), canvas.left, canvas.top, depth, kind, {"glyph": glyph, "view": "front"}
    )
    return plate, Sprite(post.reduced(), post.left, post.top, depth + 0.05)


def _age(canvas: Canvas, style: Style, rng: np.random.Generator) -> None:
    fade = float(rng.uniform(0.0, 0.3)) * style.trait("sign/fade", 0.3, 1.0)
    rgb, alpha = canvas.pixels[:, :, :3], canvas.pixels[:, :, 3:]
    grey = rgb.mean(2, keepdims=True)
    faded = rgb * (1 - fade) + (grey * 0.5 + 90) * fade
    rgb[:] = np.minimum(faded * float(rng.uniform(0.82, 1.0)), alpha).astype(np.uint8)
    if rng.random() < 0.4:
        canvas.speckle(rng, 0.08, 6.0)
