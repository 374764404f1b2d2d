"""Buses, trucks and fire engines."""

from __future__ import annotations

import numpy as np

from evaluation.scenes.bodywork import DARK, GLASS, Paint, Solid, Vehicle
from evaluation.scenes.canvas import Plane, Points
from evaluation.scenes.liveries import BLUE_LIGHT, WHITE, Livery, chevrons, emblem, light_bar
from evaluation.scenes.styles import Colour, Style, hsv, shade
from evaluation.scenes.vehicles import AMBER, HEADLAMP, RED_LAMP, body_colour


def _slab(rear: float, front: float, low: float, high: float, cut: float = 0.1) -> Points:
    return np.array(
        [
            (rear, low),
            (rear, high - cut),
            (rear + cut, high),
            (front - cut, high),
            (front, high - cut),
            (front, low),
        ]
    )


def _lamps(half: float, width: float, y: float) -> list[tuple[float, float, float, Colour]]:
    lamps: list[tuple[float, float, float, Colour]] = []
    for s in (-1, 1):
        lamps += [(half, y, s * width * 0.78, HEADLAMP), (-half, y, s * width * 0.8, (255, 40, 30))]
    return lamps


def _cab_front(width: float, high: float, tint: Colour, body: Colour, style: Style) -> Paint:
    sill = high * style.trait("truck/sill", 0.5, 0.6)

    def paint(plane: Plane) -> None:
        plane.rectangle(-width * 0.92, sill, width * 0.92, high - 0.3, shade(tint, 0.7), 0.08)
        plane.rectangle(-width * 0.89, sill + 0.04, width * 0.89, high - 0.34, tint, 0.08)
        bars = 2 + int(style.trait("truck/bars", 0, 4))
        for k in range(bars):
            y = 0.85 + (sill - 1.05) * k / bars
            plane.rectangle(-width * 0.6, y, width * 0.6, y + 0.09, shade(body, 0.3))
        plane.rectangle(-width, 0.4, width, 0.72, shade(body, 0.5), 0.05)
        for s in (-1, 1):
            plane.rectangle(s * width * 0.93, 0.5, s * width * 0.62, 0.7, (120, 124, 128), 0.04)
            plane.rectangle(s * width * 0.9, 0.53, s * width * 0.65, 0.67, HEADLAMP, 0.04)
            plane.rectangle(s * (width + 0.02), sill, s * (width + 0.2), sill + 0.6, (28, 29, 32))
        plane.rectangle(-0.27, 0.45, 0.27, 0.56, (226, 226, 218))

    return paint


def _box_rear(width: float, high: float, colour: Colour) -> Paint:
    line = shade(colour, 0.6)

    def paint(plane: Plane) -> None:
        plane.rectangle(-width * 0.95, 1.0, width * 0.95, high - 0.08, line)
        for s in (-1, 1):
            plane.rectangle(s * 0.02, 1.03, s * width * 0.93, high - 0.11, shade(colour, 0.93))
            plane.limb([(s * width * 0.4, 1.1), (s * width * 0.4, high - 0.2)], [0.04, 0.04], line)
            plane.rectangle(s * width * 0.95, 0.72, s * width * 0.6, 0.9, RED_LAMP)
        plane.rectangle(-width * 0.95, 0.55, width * 0.95, 0.68, (60, 60, 62))
        plane.rectangle(-0.27, 0.74, 0.27, 0.86, (226, 226, 216))

    return paint


def make_truck(style: Style, rng: np.random.Generator) -> Vehicle:
    """A lorry: cab, and a box, tank, tipper or curtain trailer."""
    colour, name = body_colour(style, rng)
    tint = shade(GLASS, style.trait("glass", 0.8, 1.7))
    kind = str(rng.choice(["box", "tank", "tipper", "trailer"], p=[0.4, 0.18, 0.2, 0.22]))
    length = float(rng.uniform(10, 13)) if kind == "trailer" else float(rng.uniform(6.8, 9.0))
    half, width = length / 2, style.trait("truck/width", 1.16, 1.28)
    cab_len = style.trait("truck/cab", 1.8, 2.2)
    cab_high = style.trait("truck/height", 2.5, 3.1)
    rear_cab = half - cab_len
    sill = cab_high * style.trait("truck/sill", 0.5, 0.6)
    slope = style.trait("truck/rake", 0.05, 0.3)
    cab = np.array(
        [
            (rear_cab, 0.6),
            (rear_cab, cab_high - 0.1),
            (rear_cab + 0.3, cab_high),
            (half - slope - 0.25, cab_high),
            (half - slope, cab_high - 0.15),
            (half - 0.03, sill),
            (half, 0.45),
        ]
    )

    def cab_side(plane: Plane) -> None:
        window = [
            (rear_cab + 0.5, sill),
            (half - 0.2, sill),
            (half - slope - 0.15, cab_high - 0.4),
            (rear_cab + 0.5, cab_high - 0.4),
        ]
        plane.polygon(window, tint)
        plane.limb(
            [(rear_cab + 0.4, 0.8), (rear_cab + 0.4, cab_high - 0.3)],
            [0.03, 0.03],
            shade(colour, 0.6),
        )
        plane.ellipse(half - 1.0, 0.52, 0.62, 0.62, shade(colour, 0.25))
        plane.rectangle(half - 0.25, 0.52, half - 0.02, 0.68, HEADLAMP)

    front = _cab_front(width, cab_high, tint, colour, style)
    parts = [Solid(cab, width, colour, cab_side, front, None)]
    cargo = hsv(
        float(rng.random()),
        float(rng.choice([0.03, 0.06, 0.5, 0.8])),
        float(rng.uniform(0.4, 0.93)),
    )
    high = (
        float(rng.uniform(3.1, 3.8)) if kind in ("box", "trailer") else float(rng.uniform(2.6, 3.0))
    )
    accent = hsv(float(rng.random()), 0.8, 0.6)
    logo = bool(rng.random() < 0.5)
    start = rear_cab - 0.15

    def cargo_side(plane: Plane) -> None:
        plane.rectangle(-half, 0.8, start, 1.02, (50, 51, 54))
        if kind in ("box", "trailer"):
            if logo:
                emblem(plane, "slab", (start - half) / 2, high * 0.68, 0.5, accent)
            if kind == "trailer":
                for k in range(10):
                    x = -half + (start + half) * k / 10
                    plane.limb([(x, 1.1), (x, high - 0.1)], [0.03, 0.03], shade(cargo, 0.8))
        else:
            for k in range(6):
                x = -half + (start + half) * (k + 0.5) / 6
                plane.limb([(x, 1.1), (x, high - 0.08)], [0.09, 0.09], shade(cargo, 0.72))

    low = 0.85
    profile = _slab(-half, start, low, high, 0.5 if kind == "tank" else 0.06)
    if kind == "tipper":
        profile[-1, 0] -= 0.3
        profile[0, 0] += 0.25
    parts.append(
        Solid(profile, width * 1.02, cargo, cargo_side, None, _box_rear(width, high, cargo))
    )
    parts.append(
        Solid(_slab(-half + 0.3, rear_cab + 0.2, 0.5, 0.9, 0.02), width * 0.85, (38, 39, 42))
    )
    wheels = [(half - 1.0, 0.52), (-half + 1.2, 0.52), (-half + 2.35, 0.52)]
    if kind == "trailer":
        wheels += [(half - 3.2, 0.52), (-half + 3.5, 0.52)]
    attributes = {"colour": name, "shape": kind}
    rim = shade((150, 152, 156), style.trait("truck/rim", 0.5, 1.1))
    return Vehicle("truck", parts, wheels, width, rim, (), _lamps(half, width, 0.62), attributes)


def make_bus(style: Style, rng: np.random.Generator) -> Vehicle:
    """A city bus or a coach."""
    length, high = float(rng.uniform(9.5, 12.5)), style.trait("bus/height", 2.85, 3.3)
    half, width = length / 2, style.trait("bus/width", 1.2, 1.3)
    colour = style.tint("bus/colour", (0.0, 1.0), (0.55, 0.95), (0.5, 0.9))
    if rng.random() < 0.35:
        colour = body_colour(style, rng)[0]
    accent = style.tint("bus/accent", (0.0, 1.0), (0.0, 0.9), (0.5, 0.95))
    tint = shade(GLASS, style.trait("glass", 0.8, 1.7))
    sill, lintel = style.trait("bus/sill", 1.2, 1.5), high - style.trait("bus/lintel", 0.3, 0.6)
    profile = _slab(-half, half, 0.35, high, 0.18)
    panes = round(length / style.trait("bus/pane", 1.1, 1.7))
    stripe = style.trait("bus/stripe", 0, 1)

    def side(plane: Plane) -> None:
        if stripe > 0.35:
            plane.rectangle(-half, 0.5, half, 0.5 + 0.5 * stripe, accent)
        plane.rectangle(-half + 0.25, sill - 0.05, half - 0.1, lintel + 0.05, shade(tint, 0.6), 0.1)
        for k in range(panes):
            x0 = -half + 0.3 + (length - 0.5) * k / panes
            x1 = x0 + (length - 0.5) / panes - 0.09
            plane.rectangle(x0, sill, x1, lintel, tint, 0.05)
            plane.polygon(
                [(x0, sill), (x0 + 0.3, sill), (x1, lintel), (x1 - 0.3, lintel)],
                (170, 185, 196),
                0.18,
            )
        for x in (half - 1.3, 0.1):
            plane.rectangle(x, 0.45, x + 1.05, lintel, shade(tint, 0.7), 0.04)
            plane.rectangle(x + 0.06, 0.55, x + 0.48, lintel - 0.1, tint)
            plane.rectangle(x + 0.57, 0.55, x + 0.99, lintel - 0.1, tint)
        for x in (-half + 2.6, half - 2.6):
            plane.ellipse(x, 0.5, 0.62, 0.62, shade(colour, 0.25))

    def front(plane: Plane) -> None:
        plane.rectangle(-width * 0.95, 1.0, width * 0.95, high - 0.5, shade(tint, 0.7), 0.15)
        plane.rectangle(-width * 0.9, 1.05, width * 0.9, high - 0.55, tint, 0.15)
        plane.rectangle(-width * 0.75, high - 0.42, width * 0.75, high - 0.15, DARK)
        for k in range(6):
            plane.rectangle(-0.6 + k * 0.2, high - 0.35, -0.48 + k * 0.2, high - 0.22, AMBER)
        for s in (-1, 1):
            plane.ellipse(s * width * 0.76, 0.7, 0.16, 0.13, HEADLAMP)
            plane.rectangle(s * (width + 0.02), high - 1.1, s * (width + 0.2), high - 0.6, DARK)
        plane.rectangle(-width, 0.36, width, 0.5, shade(colour, 0.45))

    def rear(plane: Plane) -> None:
        plane.rectangle(-width * 0.8, 1.6, width * 0.8, high - 0.5, tint, 0.12)
        plane.rectangle(-width * 0.7, 0.75, width * 0.7, 1.4, shade(colour, 0.8))
        for k in range(4):
            plane.rectangle(
                -width * 0.6, 0.82 + k * 0.14, width * 0.6, 0.88 + k * 0.14, shade(colour, 0.45)
            )
        for s in (-1, 1):
            plane.rectangle(s * width * 0.96, 0.7, s * width * 0.8, 1.35, RED_LAMP, 0.04)
        plane.rectangle(-width, 0.36, width, 0.55, shade(colour, 0.45))

    body = Solid(profile, width, colour, side, front, rear, roof=shade(colour, 1.08))
    wheels = [(-half + 2.6, 0.5), (half - 2.6, 0.5)]
    attributes = {"colour": "custom"}
    return Vehicle(
        "bus", [body], wheels, width, (150, 152, 156), (), _lamps(half, width, 0.7), attributes
    )


def make_fire_truck(style: Style, rng: np.random.Generator) -> Vehicle:
    """A red fire engine with roller shutters, a ladder and a light bar."""
    length, width = style.trait("fire/length", 6.8, 8.2), style.trait("fire/width", 1.18, 1.28)
    half, cab_high = length / 2, style.trait("fire/height", 2.6, 2.95)
    red = hsv(style.trait("fire/hue", 0.975, 1.015), 0.92, style.trait("fire/value", 0.68, 0.88))
    tint = shade(GLASS, style.trait("glass", 0.8, 1.7))
    stripe = WHITE if style.trait("fire/stripe", 0, 1) > 0.45 else hsv(0.16, 0.85, 0.95)
    rear_cab = half - style.trait("fire/cab", 2.3, 3.0)
    cab = np.array(
        [
            (rear_cab, 0.5),
            (rear_cab, cab_high),
            (half - 0.35, cab_high),
            (half - 0.1, cab_high - 0.3),
            (half - 0.02, 1.4),
            (half, 0.45),
        ]
    )
    high = cab_high + style.trait("fire/step", -0.1, 0.35)
    box = _slab(-half, rear_cab, 0.5, high, 0.05)
    shutters = 2 + int(style.trait("fire/shutters", 0, 3))
    band = style.trait("fire/band", 0.7, 1.2)

    def cab_side(plane: Plane) -> None:
        plane.rectangle(rear_cab, band, half, band + 0.25, stripe)
        middle = (rear_cab + half) / 2
        for x0, x1 in ((rear_cab + 0.15, middle - 0.05), (middle + 0.05, half - 0.2)):
            plane.rectangle(x0, 1.45, x1, cab_high - 0.3, tint, 0.08)
        plane.limb([(middle, 0.6), (middle, cab_high - 0.2)], [0.03, 0.03], shade(red, 0.6))
        plane.ellipse(half - 1.3, 0.52, 0.62, 0.62, (30, 10, 10))

    def box_side(plane: Plane) -> None:
        span = rear_cab + half - 0.3
        for k in range(shutters):
            x0 = -half + 0.15 + span * k / shutters
            x1 = x0 + span / shutters - 0.12
            plane.rectangle(x0, 1.1, x1, high - 0.35, (150, 153, 158))
            for j in range(9):
                y = 1.14 + (high - 1.55) * j / 9
                plane.rectangle(x0, y, x1, y + 0.04, (188, 191, 195))
        plane.rectangle(-half, band, rear_cab, band + 0.22, stripe)
        plane.ellipse(-half + 1.7, 0.52, 0.64, 0.64, (30, 10, 10))

    def rear(plane: Plane) -> None:
        chevrons(plane, width, 0.55, 1.5, stripe, red)
        plane.rectangle(-width * 0.6, 1.55, width * 0.6, high - 0.3, (160, 163, 168))
        for s in (-1, 1):
            plane.rectangle(s * width * 0.96, 0.7, s * width * 0.82, 1.2, RED_LAMP)

    front = _cab_front(width, cab_high, tint, red, style)
    parts = [
        Solid(cab, width, red, cab_side, front, None),
        Solid(box, width * 1.01, red, box_side, None, rear),
    ]
    livery = Livery(red, "red", bar=BLUE_LIGHT)
    toppings = light_bar(style, livery, half - 0.8, cab_high, width * 0.8)
    ladder = np.array(
        [
            (-half + 0.2, high + 0.05),
            (-half + 0.2, high + 0.3),
            (rear_cab, high + 0.34),
            (rear_cab, high + 0.09),
        ]
    )

    def rungs(plane: Plane) -> None:
        plane.polygon(ladder, (70, 72, 76))
        for k in range(12):
            x = -half + 0.3 + (rear_cab + half - 0.4) * k / 12
            plane.rectangle(x, high + 0.12, x + 0.22, high + 0.26, (196, 199, 203))

    toppings.append(Solid(ladder, width * 0.45, (184, 187, 191), rungs))
    lamps = _lamps(half, width, 0.62) + [
        (half - 0.8, cab_high + 0.12, s * 0.6, BLUE_LIGHT) for s in (-1, 1)
    ]
    wheels = [(half - 1.3, 0.52), (-half + 1.7, 0.52)]
    return Vehicle(
        "fire-truck", parts, wheels, width, (165, 40, 40), toppings, lamps, {"colour": "red"}
    )
