"""An animal's neck, head, ears, horns and antlers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.scenes.canvas import Plane
from evaluation.scenes.styles import Colour, Style, shade

Point = NDArray[np.float64]


class HeadBuild(Protocol):
    """The proportions that a neck and head are drawn from, as in `animal_body.Build`."""

    @property
    def neck(self) -> float:
        """Length of the neck."""

    @property
    def rise(self) -> float:
        """Angle of the raised neck above level, in radians."""

    @property
    def girth(self) -> float:
        """Thickness of the neck where it leaves the trunk."""

    @property
    def head(self) -> float:
        """Length of the head."""

    @property
    def muzzle(self) -> float:
        """Thickness of the muzzle."""

    @property
    def ear(self) -> float:
        """Length of the ears."""

    @property
    def headgear(self) -> str:
        """What grows on the head; empty for nothing."""


def draw_head(
    plane: Plane,
    build: HeadBuild,
    species: str,
    pose: str,
    half: float,
    coat: Colour,
    dark: Colour,
    pale: Colour,
    face: Colour,
    style: Style,
    rng: np.random.Generator,
) -> None:
    """Draws neck and head onto a trunk whose front end is at `half`."""
    angle = build.rise + float(rng.uniform(-0.15, 0.15))
    if pose == "grazing":
        angle = -0.75 if species in ("moose", "deer", "horse", "cow") else -0.45
    reach = build.neck * style.trait(f"{species}/neck", 0.9, 1.12)
    base = np.array([half * 0.82, 0.82])
    crown = base + reach * np.array([np.cos(angle), np.sin(angle)]) + np.array([0.08, 0.0])
    plane.limb(
        [(half * 0.7, 0.78), base, crown],
        [build.girth * 1.25, build.girth, build.girth * 0.62],
        coat,
    )
    if species == "horse":
        for share in np.linspace(0, 1, 9):
            spot = base + (crown - base) * share + np.array([-0.1, 0.1])
            plane.limb(
                [spot, spot + np.array([-0.09, -0.16])],
                [0.12, 0.05],
                shade(coat, 0.4),
            )
    tilt = {
        "moose": -0.5,
        "boar": -0.35,
        "horse": -0.75,
        "deer": -0.4,
        "cow": -0.55,
        "sheep": -0.5,
    }.get(species, -0.2)
    tilt = tilt - (0.55 if pose == "grazing" else 0.0) + float(rng.uniform(-0.1, 0.1))
    along = np.array([np.cos(tilt), np.sin(tilt)])
    across = np.array([-along[1], along[0]])
    skull = build.head
    tip = crown + along * skull
    skin = face if species == "sheep" else coat
    back = build.muzzle * 1.35
    plane.limb(
        [crown, crown + along * skull * 0.45, tip],
        [back * 1.5, back * 1.25, build.muzzle],
        skin,
    )
    if species == "moose":
        plane.spot(
            tip - across * 0.02,
            build.muzzle * 0.75,
            build.muzzle * 0.62,
            shade(coat, 0.85),
            tilt,
        )
        bell = crown + along * 0.1 - across * 0.16
        plane.limb([bell, bell + np.array([0.0, -0.18])], [0.08, 0.03], dark)
    if species in ("fox", "deer", "dog"):
        plane.limb(
            [crown + along * skull * 0.5 - across * 0.05, tip - across * 0.03],
            [0.08, 0.06],
            pale,
        )
    if species == "cow":
        plane.spot(tip, build.muzzle * 0.6, build.muzzle * 0.55, (214, 164, 150), tilt)
    if species == "boar":
        plane.spot(tip, 0.05, build.muzzle * 0.6, (96, 70, 66), tilt)
        plane.limb(
            [tip - along * 0.09 - across * 0.03, tip - along * 0.06 + across * 0.08],
            [0.03, 0.01],
            (238, 232, 214),
        )
    plane.spot(tip, 0.035, 0.03, (26, 22, 22))
    plane.spot(crown + along * skull * 0.33 + across * back * 0.25, 0.02, 0.02, (18, 14, 12))
    ear = crown - along * 0.02 + across * back * 0.55
    point = (
        ear + (across * 0.9 - along * 0.55) * build.ear
        if species in ("deer", "fox", "horse", "dog", "boar")
        else ear + (across * 0.25 - along) * build.ear
    )
    if species == "dog" and style.trait("dog/ears", 0, 1) > 0.5:
        point = ear - across * build.ear
    if species == "bear":
        plane.spot(ear, build.ear * 0.6, build.ear * 0.6, coat)
    else:
        plane.limb([ear, (ear + point) / 2, point], [0.05, 0.075, 0.01], skin)
        plane.limb([ear, (ear + point) / 2], [0.02, 0.03], shade(skin, 0.6))
    _headgear(plane, build, species, crown, along, across, style, rng)


def _headgear(
    plane: Plane,
    build: HeadBuild,
    species: str,
    crown: Point,
    along: Point,
    across: Point,
    style: Style,
    rng: np.random.Generator,
) -> None:
    bone = style.tint("antler", (0.08, 0.11), (0.25, 0.5), (0.55, 0.8))
    root = crown + across * 0.1
    if build.headgear == "horns" and rng.random() < style.trait("cow/horned", 0.3, 0.9):
        for lean in (-0.06, 0.04):
            plane.limb(
                [
                    root,
                    root + across * 0.1 + along * lean,
                    root + across * 0.2 + along * (lean - 0.02),
                ],
                [0.06, 0.045, 0.015],
                bone,
            )
    if build.headgear == "palms" and rng.random() < 0.75:
        spread = style.trait("moose/palm", 0.8, 1.25)
        for lean, tone in ((0.28, shade(bone, 0.72)), (-0.3, bone)):
            stem = root + np.array([lean * 0.35, 0.12])
            plane.limb([root, stem], [0.06, 0.06], tone)
            outer = stem + np.array([lean * 0.9, 0.28]) * spread
            plane.smooth(
                [
                    stem + np.array([-0.06, 0.0]),
                    outer + np.array([-0.16, 0.0]),
                    outer + np.array([0.0, 0.1]),
                    outer + np.array([0.16, -0.02]),
                    stem + np.array([0.06, 0.02]),
                ],
                tone,
            )
            for tine in np.linspace(-0.17, 0.17, 5):
                plane.limb(
                    [
                        outer + np.array([tine, 0.02]),
                        outer + np.array([tine * 1.5, 0.2]),
                    ],
                    [0.05, 0.012],
                    tone,
                )
    if build.headgear == "antlers" and rng.random() < 0.6:
        for lean, tone in ((0.12, shade(bone, 0.72)), (-0.1, bone)):
            beam = [
                root,
                root + np.array([lean - 0.06, 0.22]),
                root + np.array([lean * 2 - 0.02, 0.48]),
                root + np.array([lean * 2 + 0.08, 0.68]),
            ]
            plane.limb([p for p in beam], [0.055, 0.045, 0.035, 0.012], tone)
            for joint, out in ((1, 0.18), (2, 0.2)):
                plane.limb(
                    [beam[joint], beam[joint] + np.array([out, 0.16])],
                    [0.035, 0.01],
                    tone,
                )
