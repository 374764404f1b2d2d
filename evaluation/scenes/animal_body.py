"""An animal's trunk, legs and tail, from the proportions of its species."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.scenes.animal_head import draw_head
from evaluation.scenes.canvas import Plane
from evaluation.scenes.styles import Colour, Style, jitter, mix, shade


@dataclass(frozen=True)
class Build:
    """A species' proportions; lengths are shares of the height at the shoulder."""

    shoulder: float
    """Height at the shoulder in metres."""
    length: float
    trunk: float
    """Depth of the chest."""
    rump: float
    """Height of the hip above the ground, 1 is level with the shoulder."""
    leg: float
    """Thickness of the upper legs."""
    neck: float
    rise: float
    """Angle of the raised neck above level, in radians."""
    girth: float
    """Thickness of the neck where it leaves the trunk."""
    head: float
    muzzle: float
    ear: float
    tail: float
    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]
    headgear: str = ""


def draw_body(
    plane: Plane,
    build: Build,
    species: str,
    pose: str,
    coat: Colour,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Draws the whole animal; x forward, y up, 1 is the height at the shoulder."""

    def trait(name: str, spread: float) -> float:
        return style.trait(f"{species}/{name}", 1 - spread, 1 + spread)

    half = build.length / 2 * trait("length", 0.08)
    trunk = build.trunk * trait("trunk", 0.1)
    hip, belly = build.rump, 1.0 - trunk
    far, dark, pale = shade(coat, 0.62), shade(coat, 0.72), mix(coat, (238, 226, 206), 0.45)
    stride = float(rng.uniform(0.1, 0.24)) if pose == "walking" else float(rng.uniform(0.0, 0.05))
    thick = build.leg * trait("leg", 0.15)
    sock = (
        style.choose(f"{species}/sock", (shade(coat, 0.5), pale, coat))
        if species in ("moose", "deer", "horse", "dog", "cow")
        else shade(coat, 0.55)
    )
    if species == "fox":
        sock = (38, 30, 28)
    if species == "sheep":
        sock = style.choose("sheep/face", ((46, 42, 40), (120, 108, 96), (206, 196, 180)))
    for offset, tone, swing in ((0.06, far, -1.0), (0.0, coat, 1.0)):
        for base, top, bend in ((-half * 0.78, hip * 0.72, -0.05), (half * 0.72, 0.62, 0.03)):
            foot = base + offset + swing * stride * (1 if base < 0 else -1)
            knee = ((base + foot) / 2 + bend * 1.4, top * 0.5)
            lower = shade(sock, 0.7) if tone is far else sock
            plane.limb([(base + offset * 0.5, top), knee], [thick * 1.7, thick * 0.8], tone)
            plane.limb([knee, (foot, 0.06)], [thick * 0.8, thick * 0.55], lower)
            plane.limb(
                [(foot - 0.01, 0.05), (foot + 0.05, 0.03)],
                [thick * 0.7, thick * 0.6],
                shade(lower, 0.5),
            )
    _tail(plane, build, species, half, hip, coat, style, rng)
    back = 0.02 * trait("back", 1.0)
    hump = 0.08 if species in ("moose", "boar", "bear") else 0.0
    outline = [
        (-half, hip - trunk * 0.55),
        (-half * 0.97, hip - 0.04),
        (-half * 0.6, hip + 0.02),
        (0.0, (hip + 1) / 2 - back),
        (half * 0.55, 1.0 + hump),
        (half * 0.95, 0.93),
        (half * 1.02, 0.75),
        (half * 0.85, belly + 0.06),
        (half * 0.3, belly),
        (-half * 0.35, belly + 0.05),
        (-half * 0.8, hip - trunk * 0.9),
    ]
    plane.smooth(outline, coat)
    if species == "sheep":
        for _ in range(26):
            angle = float(rng.uniform(0, 2 * np.pi))
            cx, cy = 0.92 * half * np.cos(angle), 1 - trunk / 2 + trunk * 0.44 * np.sin(angle)
            plane.ellipse(cx, cy, 0.13, 0.12, shade(coat, float(rng.uniform(0.92, 1.05))))
    _markings(plane, species, half, trunk, coat, pale, style, rng)
    draw_head(plane, build, species, pose, half, coat, dark, pale, sock, style, rng)


def _tail(
    plane: Plane,
    build: Build,
    species: str,
    half: float,
    hip: float,
    coat: Colour,
    style: Style,
    rng: np.random.Generator,
) -> None:
    start, length = (-half * 0.97, hip - 0.06), build.tail
    if species == "fox":
        tip = (-half - length * 0.75, hip - 0.35 * float(rng.uniform(0.3, 1.2)))
        middle = (-half - length * 0.4, hip - 0.16)
        plane.limb([start, middle, tip], [0.12, 0.26, 0.14], coat)
        plane.spot(tip, 0.09, 0.08, (236, 228, 214))
    elif species == "dog":
        up = style.trait("dog/tail", -0.3, 0.9) + float(rng.uniform(-0.2, 0.2))
        plane.limb(
            [
                start,
                (-half - length * 0.5, hip + up * 0.25),
                (-half - length * 0.75, hip + up * 0.5),
            ],
            [0.1, 0.07, 0.04],
            coat,
        )
    elif species == "horse":
        plane.limb(
            [start, (-half - 0.12, hip - 0.2), (-half - 0.1, hip - length)],
            [0.08, 0.16, 0.08],
            shade(coat, 0.45),
        )
    elif species == "cow":
        plane.limb(
            [start, (-half - 0.05, hip - 0.25), (-half - 0.03, hip - length)],
            [0.05, 0.035, 0.03],
            coat,
        )
        plane.ellipse(-half - 0.03, hip - length - 0.04, 0.035, 0.08, shade(coat, 0.5))
    else:
        plane.limb(
            [start, (-half - 0.06, hip - 0.06 - length)],
            [0.1, 0.05],
            mix(coat, (240, 235, 225), 0.5 if species == "deer" else 0.0),
        )


def _markings(
    plane: Plane,
    species: str,
    half: float,
    trunk: float,
    coat: Colour,
    pale: Colour,
    style: Style,
    rng: np.random.Generator,
) -> None:
    if species == "cow" and rng.random() < 0.75:
        tone = (232, 226, 216) if sum(coat) < 380 else jitter(rng, (60, 44, 36), 14)
        for _ in range(int(rng.integers(2, 6))):
            cx, cy = (
                float(rng.uniform(-0.8, 0.75)) * half,
                1 - trunk * float(rng.uniform(0.25, 0.75)),
            )
            points = [
                (
                    cx + 0.2 * float(rng.uniform(0.5, 1.2)) * np.cos(a),
                    cy + 0.14 * float(rng.uniform(0.5, 1.2)) * np.sin(a),
                )
                for a in np.linspace(0, 5.4, 7)
            ]
            plane.smooth(points, tone)
        plane.ellipse(-half * 0.45, 1 - trunk - 0.01, 0.1, 0.06, (222, 170, 160))
    if species == "deer":
        plane.ellipse(-half * 0.93, 0.84, 0.07, 0.11, (240, 232, 218))
        plane.smooth(
            [
                (-half * 0.5, 1 - trunk + 0.05),
                (0, 1 - trunk + 0.09),
                (half * 0.6, 1 - trunk + 0.07),
                (0, 1 - trunk),
            ],
            pale,
        )
        if rng.random() < style.trait("deer/spots", 0.0, 0.8):
            for _ in range(14):
                plane.ellipse(
                    float(rng.uniform(-0.8, 0.5)) * half,
                    1 - trunk * float(rng.uniform(0.15, 0.5)),
                    0.022,
                    0.02,
                    pale,
                )
    if species == "moose":
        plane.smooth(
            [
                (-half * 0.9, 0.5),
                (0, 0.62),
                (half * 0.8, 0.56),
                (half * 0.4, 0.52),
                (-half * 0.4, 0.52),
            ],
            shade(coat, 0.7),
        )
    if species == "boar":
        for position in np.linspace(-half * 0.1, half * 0.85, 12):
            plane.limb([(position, 0.94), (position - 0.06, 1.07)], [0.05, 0.01], shade(coat, 0.6))
