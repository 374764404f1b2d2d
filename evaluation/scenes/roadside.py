"""What stands beside the road: houses, trees, lamps, guard rails."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.camera import Camera
from evaluation.scenes.painting import fill
from evaluation.scenes.place import Setting
from evaluation.scenes.styles import Colour, Style, jitter, mix, shade


def draw_roadside(
    picture: NDArray[np.uint8],
    camera: Camera,
    setting: Setting,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Draws it all, the farthest first."""
    items: list[tuple[float, float, str]] = []
    for side in (-1, 1):
        if setting.place == "city street" and rng.random() < 0.85:
            z = float(rng.uniform(6, 14))
            while z < 110:
                deep = float(rng.uniform(9, 22))
                items.append(
                    (
                        z + deep,
                        side * (setting.half_road + float(rng.uniform(3.2, 5.0))),
                        f"house:{deep}",
                    )
                )
                z += deep + float(rng.choice([0.0, 2.0, 7.0]))
        count = {"city street": 5, "country road": 16, "highway": 12}[setting.place]
        for _ in range(int(rng.poisson(count))):
            z = float(rng.uniform(9, 120))
            x = side * (
                setting.half_road
                + (
                    float(rng.uniform(1.4, 2.6))
                    if setting.place == "city street"
                    else float(rng.exponential(9.0)) + 3.5
                )
            )
            items.append(
                (z, x, "conifer" if rng.random() < style.trait("conifers", 0.1, 0.8) else "tree")
            )
        if rng.random() < 0.6:
            for z in np.arange(float(rng.uniform(10, 30)), 110, style.trait("lamp/step", 22, 36)):
                items.append((float(z), side * (setting.half_road + 1.0), "lamp"))
        if setting.place != "city street" and rng.random() < 0.5:
            items.append((300.0, side * (setting.half_road + 0.9), "rail"))
    for z, x, what in sorted(items, reverse=True):
        if what.startswith("house"):
            _house(picture, camera, setting, x, z - float(what[6:]), z, style, rng)
        elif what == "lamp":
            _lamp(picture, camera, setting, x, z)
        elif what == "rail":
            _rail(picture, camera, setting, x, rng)
        else:
            _tree(picture, camera, setting, x, z, what, style, rng)


def _dim(colour: Colour, depth: float, setting: Setting) -> Colour:
    low = mix(setting.sky, (210, 210, 206), 0.4)
    return mix(colour, low, float(1 - np.exp(-depth * (setting.haze * 0.6 + 0.003))))


def _house(
    picture: NDArray[np.uint8],
    camera: Camera,
    setting: Setting,
    x: float,
    near: float,
    far: float,
    style: Style,
    rng: np.random.Generator,
) -> None:
    tall = float(rng.uniform(5, 17)) * style.trait("house/height", 0.8, 1.2)
    wall = jitter(
        rng,
        style.choose(
            "walls",
            ((176, 120, 92), (206, 196, 178), (150, 150, 152), (214, 188, 140), (168, 142, 128)),
        ),
        26,
    )
    near = max(near, 3.0)
    offset = setting.middle((near + far) / 2)
    facade = camera.project(
        [
            (x + offset, 0, near),
            (x + offset, tall, near),
            (x + offset, tall, far),
            (x + offset, 0, far),
        ]
    )
    outer = x + float(np.sign(x)) * 12
    front = camera.project(
        [
            (x + offset, 0, near),
            (x + offset, tall, near),
            (outer + offset, tall, near),
            (outer + offset, 0, near),
        ]
    )
    fill(picture, front, _dim(shade(wall, 0.82), near, setting))
    fill(picture, facade, _dim(wall, near, setting))
    lit = setting.light in ("night", "dusk")
    floors, bays = max(1, int(tall / 3.0)), max(1, int((far - near) / 2.8))
    for floor in range(floors):
        for bay in range(bays):
            z0, y0 = near + (bay + 0.28) * (far - near) / bays, 0.9 + floor * 3.0
            z1 = z0 + (far - near) / bays * 0.45
            window = camera.project(
                [
                    (x + offset, y0, z0),
                    (x + offset, y0 + 1.5, z0),
                    (x + offset, y0 + 1.5, z1),
                    (x + offset, y0, z1),
                ]
            )
            glow = lit and rng.random() < 0.4
            fill(
                picture,
                window,
                (236, 200, 120) if glow else _dim(jitter(rng, (70, 84, 98), 16), near, setting),
            )
    for bay in range(3):
        for floor in range(floors):
            x0, y0 = x + float(np.sign(x)) * (1.0 + bay * 3.6), 0.9 + floor * 3.0
            x1 = x0 + float(np.sign(x)) * 1.6
            fill(
                picture,
                camera.project(
                    [
                        (x0 + offset, y0, near),
                        (x0 + offset, y0 + 1.5, near),
                        (x1 + offset, y0 + 1.5, near),
                        (x1 + offset, y0, near),
                    ]
                ),
                _dim((64, 76, 90), near, setting),
            )


def _tree(
    picture: NDArray[np.uint8],
    camera: Camera,
    setting: Setting,
    x: float,
    z: float,
    kind: str,
    style: Style,
    rng: np.random.Generator,
) -> None:
    scale = camera.scale(z)
    x += setting.middle(z)
    ((u, v),) = camera.project([(x, 0.0, z)])
    tall = float(rng.uniform(4, 11)) * scale
    leaf = _dim(
        jitter(rng, style.tint("leaf", (0.2, 0.36), (0.3, 0.6), (0.22, 0.42)), 16), z, setting
    )
    if setting.weather == "snow":
        leaf = mix(leaf, (230, 234, 238), 0.45)
    trunk = _dim((78, 60, 46), z, setting)
    fill(
        picture,
        [
            (u - 0.16 * scale, v),
            (u + 0.16 * scale, v),
            (u + 0.09 * scale, v - tall * 0.6),
            (u - 0.09 * scale, v - tall * 0.6),
        ],
        trunk,
    )
    if kind == "conifer":
        for layer in range(4):
            top, base = v - tall * (1 - layer * 0.19), v - tall * (0.62 - layer * 0.17)
            spread = tall * (0.1 + 0.06 * layer)
            fill(
                picture,
                [(u, top), (u + spread, base), (u - spread, base)],
                shade(leaf, 0.8 + 0.08 * layer),
            )
        return
    for _ in range(int(rng.integers(7, 14))):
        du, dv = rng.normal(0, tall * 0.15), rng.normal(0, tall * 0.11)
        radius = tall * float(rng.uniform(0.09, 0.19))
        centre = (round((u + du) * 16), round((v - tall * 0.72 + dv) * 16))
        if max(abs(centre[0]), abs(centre[1])) < 30000 * 16:
            cv2.circle(
                picture,
                centre,
                max(round(radius * 16), 1),
                shade(leaf, float(rng.uniform(0.75, 1.2))),
                -1,
                cv2.LINE_AA,
                4,
            )


def _lamp(picture: NDArray[np.uint8], camera: Camera, setting: Setting, x: float, z: float) -> None:
    scale, x = camera.scale(z), x + setting.middle(z)
    grey = _dim((92, 94, 98), z, setting)
    arm = x - float(np.sign(x - setting.middle(z))) * 1.6
    (u, v), (u2, v2), (u3, v3) = camera.project([(x, 0, z), (x, 7.5, z), (arm, 7.7, z)])
    thick = max(0.07 * scale, 0.5)
    fill(
        picture,
        [(u - thick, v), (u + thick, v), (u2 + thick * 0.6, v2), (u2 - thick * 0.6, v2)],
        grey,
    )
    fill(picture, [(u2, v2), (u3, v3), (u3, v3 + thick), (u2, v2 + thick)], grey)
    if (
        setting.light in ("night", "dusk")
        and 0 <= u3 < picture.shape[1]
        and 0 <= v3 < picture.shape[0]
    ):
        cv2.circle(
            picture,
            (round(u3), round(v3)),
            max(int(0.28 * scale), 1),
            (255, 226, 170),
            -1,
            cv2.LINE_AA,
        )


def _rail(
    picture: NDArray[np.uint8], camera: Camera, setting: Setting, x: float, rng: np.random.Generator
) -> None:
    depths = np.geomspace(4, 150, 30)
    for low, high, tone in ((0.45, 0.75, (150, 152, 156)), (0.57, 0.63, (110, 112, 116))):
        bottom = camera.project([(x + setting.middle(z), low, z) for z in depths])
        top = camera.project([(x + setting.middle(z), high, z) for z in depths])
        fill(picture, np.concatenate([bottom, top[::-1]]), tone)
    for z in np.arange(5, 60, 4.0):
        foot = camera.project([(x + setting.middle(z), 0, z), (x + setting.middle(z), 0.6, z)])
        cv2.line(
            picture,
            tuple(np.round(foot[0]).astype(int).tolist()),
            tuple(np.round(foot[1]).astype(int).tolist()),
            (112, 112, 116),
            max(1, int(0.08 * camera.scale(z))),
            cv2.LINE_AA,
        )
