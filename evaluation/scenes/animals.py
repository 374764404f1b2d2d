"""Animals: a body on four legs, from proportions that differ by species and style."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.scenes.animal_body import Build, draw_body
from evaluation.scenes.camera import Camera
from evaluation.scenes.canvas import Canvas, Sprite
from evaluation.scenes.styles import Style, jitter, shade

BUILDS: Mapping[str, Build] = {
    "moose": Build(
        1.95,
        1.2,
        0.48,
        0.86,
        0.11,
        0.36,
        0.5,
        0.36,
        0.38,
        0.16,
        0.13,
        0.05,
        (0.05, 0.09),
        (0.35, 0.6),
        (0.2, 0.34),
        "palms",
    ),
    "deer": Build(
        1.15,
        1.22,
        0.4,
        0.97,
        0.09,
        0.5,
        0.95,
        0.22,
        0.28,
        0.09,
        0.16,
        0.12,
        (0.06, 0.09),
        (0.45, 0.65),
        (0.45, 0.65),
        "antlers",
    ),
    "cow": Build(
        1.4,
        1.5,
        0.56,
        0.98,
        0.13,
        0.34,
        0.35,
        0.34,
        0.34,
        0.16,
        0.13,
        0.5,
        (0.03, 0.08),
        (0.1, 0.6),
        (0.25, 0.75),
        "horns",
    ),
    "horse": Build(
        1.6,
        1.22,
        0.44,
        1.0,
        0.11,
        0.58,
        0.85,
        0.3,
        0.34,
        0.12,
        0.1,
        0.55,
        (0.04, 0.08),
        (0.3, 0.65),
        (0.2, 0.5),
        "mane",
    ),
    "sheep": Build(
        0.78,
        1.35,
        0.66,
        0.98,
        0.12,
        0.22,
        0.6,
        0.3,
        0.28,
        0.13,
        0.14,
        0.12,
        (0.1, 0.14),
        (0.05, 0.18),
        (0.75, 0.93),
        "wool",
    ),
    "dog": Build(
        0.62,
        1.25,
        0.4,
        0.96,
        0.12,
        0.34,
        0.9,
        0.24,
        0.32,
        0.13,
        0.16,
        0.5,
        (0.06, 0.11),
        (0.1, 0.65),
        (0.2, 0.75),
    ),
    "boar": Build(
        0.82,
        1.4,
        0.62,
        0.86,
        0.13,
        0.18,
        0.1,
        0.48,
        0.42,
        0.16,
        0.16,
        0.25,
        (0.05, 0.08),
        (0.15, 0.35),
        (0.14, 0.28),
        "bristles",
    ),
    "bear": Build(
        1.1,
        1.45,
        0.66,
        0.95,
        0.24,
        0.24,
        0.35,
        0.5,
        0.38,
        0.2,
        0.1,
        0.05,
        (0.04, 0.08),
        (0.35, 0.6),
        (0.16, 0.36),
    ),
    "fox": Build(
        0.42,
        1.5,
        0.42,
        0.98,
        0.11,
        0.34,
        0.6,
        0.26,
        0.36,
        0.14,
        0.22,
        0.95,
        (0.045, 0.065),
        (0.75, 0.9),
        (0.65, 0.85),
        "brush",
    ),
}
"""Species to proportions, after field guides' measures."""


def draw_animal(
    species: str, camera: Camera, x: float, depth: float, style: Style, rng: np.random.Generator
) -> Sprite:
    """Draws an animal that stands, walks or grazes, seen from its side or at a slant."""
    build = BUILDS[species]
    size = (
        build.shoulder * style.trait(f"{species}/size", 0.92, 1.08) * float(rng.uniform(0.88, 1.08))
    )
    left_facing = bool(rng.random() < 0.5)
    squeeze = float(rng.choice([1.0, rng.uniform(0.55, 0.95)]))
    pose = str(rng.choice(["standing", "walking", "grazing"], p=[0.4, 0.38, 0.22]))
    lift = camera.upright(x, depth, mirror=left_facing, squeeze=squeeze)
    corners = lift(np.array([(-1.35, -0.08), (1.7, 2.15)]) * size)
    low, high = corners.min(0), corners.max(0)
    canvas = Canvas((low[0], low[1], high[0], high[1]))
    plane = canvas.plane(lambda points: lift(points * size))
    coat = shade(
        style.tint(species, build.hue, build.saturation, build.value), float(rng.uniform(0.82, 1.2))
    )
    if species in ("cow", "dog", "horse") and rng.random() < 0.45:
        coat = jitter(
            rng,
            [(52, 44, 40), (196, 176, 148), (120, 72, 40), (226, 220, 210)][int(rng.integers(4))],
            12,
        )
    draw_body(plane, build, species, pose, coat, style, rng)
    canvas.emboss(style.trait("animal/emboss", 0.35, 0.7), 0.05)
    canvas.speckle(rng, 0.12 if species == "sheep" else 0.05, 0.03 * size * camera.scale(depth))
    centre = lift(np.zeros((1, 2)))[0]
    reach = 0.62 * build.length * size * camera.scale(depth) * squeeze
    return Sprite(
        canvas.reduced(),
        canvas.left,
        canvas.top,
        depth,
        species,
        {
            "species": species,
            "pose": pose,
            "facing": "left" if left_facing else "right",
            "view": "side",
        },
        (),
        (float(centre[0]), float(centre[1]), reach, max(0.08 * size * camera.scale(depth), 1.0)),
    )


def random_species(rng: np.random.Generator) -> str:
    """A species, the larger game oftener than the rest."""
    names = list(BUILDS)
    weights = np.array([1.6, 1.5, 1.2, 1.1, 1.1, 1.0, 1.0, 0.7, 0.8])
    return str(rng.choice(names, p=weights / weights.sum()))
