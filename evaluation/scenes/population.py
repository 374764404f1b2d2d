"""What is in a scene, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.scenes.animals import BUILDS, draw_animal, random_species
from evaluation.scenes.bodywork import Pose, draw_vehicle
from evaluation.scenes.camera import Camera
from evaluation.scenes.canvas import Sprite
from evaluation.scenes.clutter import draw_clutter
from evaluation.scenes.heavy import make_bus, make_fire_truck, make_truck
from evaluation.scenes.model import CLUTTER, OTHER_SIGNS, WARNING_SIGNS
from evaluation.scenes.people import draw_pedestrian, draw_two_wheeler
from evaluation.scenes.place import Setting
from evaluation.scenes.signs import draw_sign
from evaluation.scenes.styles import Style
from evaluation.scenes.vans import make_van
from evaluation.scenes.vehicles import make_car

TALL_M: Mapping[str, float] = {
    "car": 1.5,
    "taxi": 1.5,
    "police-car": 1.5,
    "van": 2.4,
    "ambulance": 2.5,
    "truck": 3.5,
    "bus": 3.2,
    "fire-truck": 3.2,
    "motorcycle": 1.7,
    "cyclist": 1.8,
    "bicycle": 1.1,
    "pedestrian": 1.7,
}
TRAFFIC = (
    "car",
    "van",
    "truck",
    "bus",
    "police-car",
    "fire-truck",
    "taxi",
    "motorcycle",
    "bicycle",
    "cyclist",
    "pedestrian",
)
TRAFFIC_SHARES = np.array([0.3, 0.15, 0.07, 0.05, 0.04, 0.04, 0.05, 0.05, 0.04, 0.06, 0.15])


def _wanted(rng: np.random.Generator) -> list[str]:
    """What is to be in the scene; rare things first, so that they find a free place."""
    wanted: list[str] = []
    if rng.random() < 0.31:
        wanted += ["ambulance"] * (2 if rng.random() < 0.15 else 1)
    if rng.random() < 0.37:
        wanted += [random_species(rng)] * int(rng.choice([1, 2, 3], p=[0.72, 0.2, 0.08]))
    if rng.random() < 0.31:
        wanted += ["road-narrows-sign"] * (2 if rng.random() < 0.2 else 1)
    other_warnings = [kind for kind in WARNING_SIGNS if kind != "road-narrows-sign"]
    wanted += [str(kind) for kind in rng.choice(other_warnings, int(rng.poisson(1.1)))]
    wanted += [str(kind) for kind in rng.choice(OTHER_SIGNS, int(rng.poisson(1.8)))]
    wanted += [
        str(kind) for kind in rng.choice(TRAFFIC, 2 + int(rng.poisson(4.5)), p=TRAFFIC_SHARES)
    ]
    wanted += [str(kind) for kind in rng.choice(CLUTTER, int(rng.poisson(1.6)))]
    return wanted


def populate(
    width: int,
    height: int,
    camera: Camera,
    setting: Setting,
    style: Style,
    rng: np.random.Generator,
) -> list[Sprite]:
    """Draws everything that is to be in a scene; what finds no free place is left out."""
    sprites: list[Sprite] = []
    taken: list[tuple[float, float, float, float]] = []
    for category in _wanted(rng):
        rare = category in ("ambulance", "road-narrows-sign") or category in BUILDS
        limit = 0.25 if rare else 0.55
        for _ in range(10):
            drawn = _place(category, width, height, camera, setting, style, rng)
            if drawn is None:
                continue
            body = drawn[0]
            box = (
                body.left,
                body.top,
                body.left + body.pixels.shape[1],
                body.top + body.pixels.shape[0],
            )
            inside = max(0, min(box[2], width) - max(box[0], 0)) * max(
                0, min(box[3], height) - max(box[1], 0)
            )
            whole = (box[2] - box[0]) * (box[3] - box[1])
            if inside < (0.75 if rare else 0.35) * whole:
                continue
            if max((_covered(box, other) for other in taken), default=0.0) > limit:
                continue
            taken.append(box)
            sprites += drawn
            break
    return sprites


def _covered(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> float:
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0.0, min(one[3], other[3]) - max(one[1], other[1])
    )
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / smaller


def _place(
    category: str,
    width: int,
    height: int,
    camera: Camera,
    setting: Setting,
    style: Style,
    rng: np.random.Generator,
) -> list[Sprite] | None:
    """Draws the thing at a random place; its body comes first. None where it would be too near."""
    unit = width / 1920
    half = setting.half_road
    side = 1 if rng.random() < 0.6 else -1
    is_sign = category in WARNING_SIGNS or category in OTHER_SIGNS
    if is_sign:
        pixels = float(np.exp(rng.uniform(np.log(30), np.log(250)))) * unit
        depth = 0.95 * camera.focal / pixels
    elif category in BUILDS:
        pixels = float(np.exp(rng.uniform(np.log(45), np.log(480)))) * unit
        depth = BUILDS[category].shoulder * 1.25 * camera.focal / pixels
    elif category in CLUTTER:
        depth = float(rng.uniform(6, 40))
    else:
        pixels = float(np.exp(rng.uniform(np.log(40), np.log(420)))) * unit
        depth = TALL_M[category] * camera.focal / pixels
    depth = float(np.clip(depth, 2.6, 130))
    middle = setting.middle(depth)
    if is_sign:
        return list(
            draw_sign(
                category,
                camera,
                middle + side * (half + float(rng.uniform(0.6, 2.2))),
                depth,
                style,
                rng,
            )
        )
    if category in BUILDS:
        across = (
            float(rng.uniform(-half, half))
            if rng.random() < 0.5
            else side * (half + float(rng.exponential(3.0)) + 1.0)
        )
        return [draw_animal(category, camera, middle + across, depth, style, rng)]
    if category in CLUTTER:
        across = (
            float(rng.uniform(-half, half))
            if category == "cone"
            else side
            * (half + float(rng.uniform(0.8, 3.0)) + (5.0 if category == "billboard" else 0.0))
        )
        return [draw_clutter(category, camera, middle + across, depth, style, rng)]
    if category == "pedestrian":
        across = (
            float(rng.uniform(-half, half))
            if rng.random() < 0.3
            else side * (half + float(rng.uniform(0.3, 3.0)))
        )
        return [draw_pedestrian(camera, middle + across, depth, style, rng)]
    if category in ("motorcycle", "cyclist", "bicycle"):
        across = (
            side * (half + float(rng.uniform(0.3, 2.0)))
            if category == "bicycle"
            else float(rng.uniform(-half, half))
        )
        return [draw_two_wheeler(category, camera, middle + across, depth, style, rng)]
    makers = {
        "car": make_car,
        "taxi": make_car,
        "police-car": make_car,
        "van": make_van,
        "ambulance": make_van,
    }
    if category in makers:
        vehicle = makers[category](style, rng, category)
    else:
        vehicle = {"truck": make_truck, "bus": make_bus, "fire-truck": make_fire_truck}[category](
            style, rng
        )
    manner = rng.random()
    if manner < 0.38:
        across, yaw = float(rng.uniform(0.25, 0.75)) * half, float(rng.normal(0, 0.06))
    elif manner < 0.7:
        across, yaw = -float(rng.uniform(0.25, 0.75)) * half, np.pi + float(rng.normal(0, 0.06))
    else:
        across, yaw = float(rng.uniform(-1.3, 1.3)) * half, float(rng.uniform(0, 2 * np.pi))
    depth = max(depth, vehicle.length / 2 * abs(float(np.cos(yaw))) + 3.0)
    pose = Pose(middle + across, depth, yaw)
    try:
        return [
            draw_vehicle(
                camera,
                vehicle,
                pose,
                setting.light in ("night", "dusk")
                or category in ("ambulance", "police-car", "fire-truck"),
            )
        ]
    except ValueError:  # too near: the sprite would be larger than a picture
        return None
