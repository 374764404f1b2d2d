"""Shapes of the road vehicles; their markings come from `liveries`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from evaluation.scenes.bodywork import DARK, GLASS, Paint, Solid, Vehicle
from evaluation.scenes.canvas import Plane, Points
from evaluation.scenes.liveries import choose_livery, light_bar
from evaluation.scenes.styles import Colour, Style, hsv, shade

RED_LAMP: Colour = (190, 22, 20)
HEADLAMP: Colour = (236, 238, 226)
AMBER: Colour = (240, 150, 30)


def body_colour(style: Style, rng: np.random.Generator) -> tuple[Colour, str]:
    """A usual car colour and its name."""
    names = ("white", "silver", "grey", "black", "red", "blue", "green", "brown", "yellow")
    shares = np.array([0.2, 0.14, 0.13, 0.14, 0.13, 0.13, 0.06, 0.04, 0.03])
    name = str(rng.choice(names, p=shares))
    value = style.trait("paint/value", -0.08, 0.08) + float(rng.uniform(-0.07, 0.07))
    hues = {"red": 0.99, "blue": 0.6, "green": 0.38, "brown": 0.07, "yellow": 0.14}
    if name in hues:
        hue = hues[name] + style.trait("paint/hue", -0.03, 0.03)
        bright = {"brown": 0.35, "green": 0.38, "blue": 0.5, "red": 0.66}.get(name, 0.86)
        return hsv(hue, float(rng.uniform(0.6, 0.95)), bright + value), name
    level = {"white": 0.9, "silver": 0.68, "grey": 0.42, "black": 0.13}[name]
    return hsv(0.6, 0.04, level + value * 0.7), name


def draw_window(plane: Plane, points: ArrayLike, tint: Colour) -> None:
    """Draws a pane with its frame and a reflection of the sky."""
    outline = np.asarray(points, np.float64)
    plane.polygon(outline, shade(tint, 0.75))
    centre = outline.mean(0)
    plane.polygon(centre + (outline - centre) * 0.93, tint)
    (x0, y0), (x1, y1) = outline.min(0), outline.max(0)
    with plane.clip(outline):
        slant = [(x0 + (x1 - x0) * 0.25, y0), (x0 + (x1 - x0) * 0.5, y0)]
        slant += [(x0 + (x1 - x0) * 0.72, y1), (x0 + (x1 - x0) * 0.5, y1)]
        plane.polygon(slant, (178, 194, 205), 0.2)


def _car_profile(length: float, kind: str, t: dict[str, float]) -> Points:
    half, height = length / 2, t["height"]
    belt = height * t["belt"]
    nose = belt * t["nose"]
    roof_rear = {"sedan": -0.17, "hatch": -0.36, "estate": -0.4, "suv": -0.4}[kind] * length
    tail = {"sedan": -0.36, "hatch": -0.47, "estate": -0.48, "suv": -0.485}[kind] * length
    return np.array(
        [
            (-half + 0.03, 0.24),
            (-half, 0.52),
            (-half + 0.05, belt * 0.93),
            (tail, belt + 0.02),
            (roof_rear, height - 0.05),
            (roof_rear + 0.2 * length, height),
            (0.06 * length, height - 0.04),
            (t["screen"] * length, belt + 0.01),
            (half - 0.14 * length, belt * 0.95),
            (half - 0.1, nose),
            (half, 0.5),
            (half - 0.04, 0.22),
        ]
    )


def _ends(
    width: float, belt: float, top: float, lamp_y: float, tint: Colour, style: Style, body: Colour
) -> tuple[Paint, Paint]:
    grille = style.trait("car/grille", 0.25, 0.6) * width
    lamp = style.trait("car/lamp", 0.1, 0.2) * width
    tall = style.trait("car/lamp-tall", 0.06, 0.11)
    upright = style.trait("car/tail-upright", 0.0, 1.0) > 0.5
    screen = 0.86 * width

    def front(plane: Plane) -> None:
        draw_window(
            plane,
            [
                (-screen, belt + 0.07),
                (screen, belt + 0.07),
                (screen * 0.97, top - 0.09),
                (-screen * 0.97, top - 0.09),
            ],
            tint,
        )
        plane.rectangle(-grille, lamp_y - 0.1, grille, lamp_y + 0.07, DARK, 0.03)
        plane.rectangle(-0.8 * width, 0.26, 0.8 * width, 0.38, shade(body, 0.35), 0.04)
        for s in (-1, 1):
            x = s * (width * 0.97 - lamp)
            plane.ellipse(x, lamp_y + 0.02, lamp, tall, (96, 100, 104))
            plane.ellipse(x, lamp_y + 0.02, lamp * 0.75, tall * 0.75, HEADLAMP)
        plane.rectangle(-0.26, 0.4, 0.26, 0.5, (225, 225, 218))

    def rear(plane: Plane) -> None:
        draw_window(
            plane,
            [
                (-screen, belt + 0.08),
                (screen, belt + 0.08),
                (screen * 0.94, top - 0.1),
                (-screen * 0.94, top - 0.1),
            ],
            tint,
        )
        plane.rectangle(-0.9 * width, 0.25, 0.9 * width, 0.36, shade(body, 0.4), 0.04)
        for s in (-1, 1):
            if upright:
                plane.rectangle(
                    s * width * 0.97, lamp_y - 0.1, s * width * 0.8, lamp_y + 0.22, RED_LAMP, 0.03
                )
            else:
                plane.rectangle(
                    s * width * 0.97, lamp_y - 0.02, s * width * 0.62, lamp_y + 0.13, RED_LAMP, 0.03
                )
        plane.rectangle(-0.27, lamp_y - 0.08, 0.27, lamp_y + 0.04, (226, 226, 216))

    return front, rear


def make_car(style: Style, rng: np.random.Generator, category: str = "car") -> Vehicle:
    """A passenger car; also the base of taxis and police cars."""
    kind = str(rng.choice(["sedan", "hatch", "estate", "suv"], p=[0.34, 0.3, 0.16, 0.2]))
    length = {"sedan": 4.6, "hatch": 4.0, "estate": 4.7, "suv": 4.5}[kind]
    length *= style.trait("car/length", 0.94, 1.06)
    t = {
        "height": {"sedan": 1.44, "hatch": 1.47, "estate": 1.48, "suv": 1.7}[kind]
        * style.trait("car/height", 0.95, 1.06),
        "belt": style.trait("car/belt", 0.57, 0.66),
        "nose": style.trait("car/nose", 0.76, 0.9),
        "screen": style.trait("car/screen", 0.19, 0.25),
    }
    profile = _car_profile(length, kind, t)
    width = style.trait("car/width", 0.86, 0.94)
    colour, name = body_colour(style, rng)
    livery = choose_livery(category, style, rng, colour, name)
    top, belt = t["height"], t["height"] * t["belt"]
    tint = shade(GLASS, style.trait("glass", 0.8, 1.7))
    tail_x, roof_rear = float(profile[3, 0]), float(profile[4, 0])
    roof_front, screen_x = float(profile[6, 0]), float(profile[7, 0])
    wheel = style.trait("car/wheel", 0.3, 0.36) * (1.1 if kind == "suv" else 1.0)
    axles = (-length * 0.3, length * style.trait("car/axle", 0.3, 0.34))
    arch = shade(livery.body, 0.3)

    def side(plane: Plane) -> None:
        for x in axles:
            plane.ellipse(x, wheel, wheel * 1.16, wheel * 1.16, arch)
        livery.paint_side(plane, profile, length, belt, top)
        base_y, top_y = belt + 0.04, top - 0.1
        split = (roof_front + roof_rear) / 2 + 0.1
        front_x, back_x = (
            screen_x - 0.1,
            max(tail_x + 0.1, roof_rear - 0.3 * (kind == "sedan") - 0.12),
        )
        draw_window(
            plane,
            [
                (split + 0.04, base_y),
                (front_x, base_y),
                (roof_front - 0.06, top_y),
                (split + 0.04, top_y),
            ],
            tint,
        )
        draw_window(
            plane,
            [
                (back_x, base_y),
                (split - 0.04, base_y),
                (split - 0.04, top_y),
                (roof_rear + 0.1, top_y),
            ],
            tint,
        )
        line = shade(livery.body, 0.6)
        for x in (split, split + 0.95, split - 0.85):
            plane.limb([(x, 0.35), (x, belt)], [0.018, 0.018], line)
        for x in (split - 0.15, split + 0.8):
            plane.rectangle(x - 0.2, belt - 0.14, x - 0.02, belt - 0.1, line)
        plane.rectangle(
            -length * 0.5 + 0.03, 0.24, length * 0.5 - 0.03, 0.31, shade(livery.body, 0.42)
        )
        plane.rectangle(
            length / 2 - 0.3, belt * 0.72, length / 2 - 0.05, belt * 0.84, HEADLAMP, 0.04
        )
        plane.rectangle(
            -length / 2 + 0.02, belt * 0.74, -length / 2 + 0.2, belt * 0.9, RED_LAMP, 0.03
        )
        plane.ellipse(screen_x - 0.28, belt + 0.08, 0.1, 0.07, shade(livery.body, 0.8))

    front, rear = _ends(width, belt, top, belt * 0.75, tint, style, livery.body)
    lamps = [(length / 2, belt * 0.77, s * width * 0.78, HEADLAMP) for s in (-1, 1)]
    lamps += [(-length / 2, belt * 0.8, s * width * 0.8, (255, 40, 30)) for s in (-1, 1)]
    toppings: list[Solid] = []
    if livery.bar is not None:
        toppings = light_bar(style, livery, (roof_front + roof_rear) / 2 + 0.15, top, width * 0.62)
        lamps += [((roof_front + roof_rear) / 2, top + 0.1, s * 0.4, livery.bar) for s in (-1, 1)]
    body = Solid(
        profile,
        width,
        livery.body,
        side,
        livery.end(front, width, belt, True),
        livery.end(rear, width, belt, False),
        belt,
        style.trait("car/taper", 0.74, 0.86),
        roof=livery.roof,
    )
    rim = shade((170, 172, 176), style.trait("car/rim", 0.6, 1.15))
    return Vehicle(
        category,
        [body],
        [(x, wheel) for x in axles],
        width,
        rim,
        toppings,
        lamps,
        {"colour": livery.name, "shape": kind, **livery.attributes},
    )
