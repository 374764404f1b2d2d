"""Panel vans, and the ambulances that are made from them."""

from __future__ import annotations

import numpy as np

from evaluation.scenes.bodywork import GLASS, Solid, Vehicle
from evaluation.scenes.canvas import Plane
from evaluation.scenes.liveries import choose_livery, light_bar
from evaluation.scenes.styles import Style, hsv, shade
from evaluation.scenes.vehicles import AMBER, HEADLAMP, RED_LAMP, body_colour, draw_window


def make_van(style: Style, rng: np.random.Generator, category: str = "van") -> Vehicle:
    """A panel van; also the base of ambulances, which may instead have a box body."""
    length = float(rng.uniform(4.9, 6.0)) * style.trait("van/length", 0.95, 1.05)
    top = float(rng.uniform(2.1, 2.65)) * style.trait("van/height", 0.96, 1.04)
    half, width = length / 2, style.trait("van/width", 0.96, 1.06)
    boxed = category == "ambulance" and rng.random() < style.trait("ambulance/box", 0.15, 0.75)
    cab_top = min(top, 2.15) if boxed else top
    hood, belt = style.trait("van/hood", 1.0, 1.25), style.trait("van/belt", 1.22, 1.38)
    screen = half - style.trait("van/snout", 0.55, 0.95)
    slope = style.trait("van/slope", 0.5, 0.85)
    cab_rear = half - 2.2 if boxed else -half
    if boxed:
        top += 0.25
    profile = np.array(
        [
            (cab_rear, 0.38),
            (cab_rear, cab_top - 0.12),
            (cab_rear + 0.08, cab_top - 0.02),
            (screen - slope - 0.25, cab_top),
            (screen - slope, cab_top - 0.08),
            (screen, belt),
            (half - 0.12, hood),
            (half - 0.02, hood * 0.72),
            (half, 0.5),
            (half - 0.04, 0.28),
        ]
    )
    if category == "ambulance" or rng.random() > 0.55:
        colour, name = hsv(0.12, 0.03, style.trait("van/white", 0.86, 0.95)), "white"
    else:
        colour, name = body_colour(style, rng)
    livery = choose_livery(category, style, rng, colour, name)
    tint = shade(GLASS, style.trait("glass", 0.8, 1.7))
    wheel = style.trait("van/wheel", 0.33, 0.38)
    axles = (-half + length * style.trait("van/rear-axle", 0.2, 0.26), half - length * 0.17)
    windowed = category == "van" and rng.random() < 0.3
    back_windows = rng.random() < 0.7
    line = shade(livery.body, 0.66)

    def cab_side(plane: Plane) -> None:
        plane.ellipse(axles[1], wheel, wheel * 1.18, wheel * 1.18, shade(livery.body, 0.28))
        if not boxed:
            plane.ellipse(axles[0], wheel, wheel * 1.18, wheel * 1.18, shade(livery.body, 0.28))
        livery.paint_side(plane, profile, length, belt, cab_top)
        door = screen - slope - 0.62
        y1 = min(cab_top - 0.2, 1.98)
        window = [
            (door + 0.05, belt),
            (screen - 0.1, belt),
            (screen - slope * (y1 - belt) / (cab_top - belt) - 0.12, y1),
            (door + 0.05, y1),
        ]
        draw_window(plane, window, tint)
        if windowed:
            for k in range(2):
                x1 = door - 0.2 - k * 1.25
                draw_window(plane, [(x1 - 1.1, belt), (x1, belt), (x1, y1), (x1 - 1.1, y1)], tint)
        for x in (door, door - 1.15):
            if x > cab_rear:
                plane.limb([(x, 0.45), (x, cab_top - 0.1)], [0.02, 0.02], line)
        plane.rectangle(cab_rear, 0.34, half - 0.02, 0.45, shade(livery.body, 0.36))
        plane.rectangle(half - 0.28, hood * 0.66, half - 0.03, hood * 0.82, HEADLAMP, 0.04)
        if not boxed:
            plane.rectangle(-half, 0.85, -half + 0.1, 1.25, RED_LAMP)
        plane.rectangle(screen - 0.36, belt + 0.02, screen - 0.18, belt + 0.32, (34, 35, 38), 0.05)

    def front(plane: Plane) -> None:
        screen_w = width * 0.9
        draw_window(
            plane,
            [
                (-screen_w, belt + 0.06),
                (screen_w, belt + 0.06),
                (screen_w * 0.94, cab_top - 0.26),
                (-screen_w * 0.94, cab_top - 0.26),
            ],
            tint,
        )
        plane.rectangle(-width * 0.5, 0.6, width * 0.5, hood * 0.8, (44, 46, 50), 0.05)
        plane.rectangle(-width * 0.96, 0.3, width * 0.96, 0.5, shade(livery.body, 0.42), 0.04)
        for s in (-1, 1):
            plane.ellipse(s * width * 0.78, hood * 0.74, width * 0.16, 0.13, (120, 124, 128))
            plane.ellipse(s * width * 0.78, hood * 0.74, width * 0.12, 0.1, HEADLAMP)
            plane.rectangle(s * (width + 0.02), belt, s * (width + 0.19), belt + 0.32, (30, 31, 34))
        plane.rectangle(-0.26, 0.4, 0.26, 0.51, (226, 226, 218))

    def rear(plane: Plane) -> None:
        plane.limb([(0.0, 0.5), (0.0, top - 0.12)], [0.03, 0.03], line)
        if back_windows:
            for s in (-1, 1):
                x0, x1 = s * width * 0.1, s * width * 0.8
                draw_window(
                    plane, [(x0, belt + 0.1), (x1, belt + 0.1), (x1, 1.95), (x0, 1.95)], tint
                )
        for s in (-1, 1):
            plane.rectangle(s * width * 0.99, 0.75, s * width * 0.87, 1.25, RED_LAMP, 0.02)
            plane.rectangle(s * width * 0.99, 1.25, s * width * 0.87, 1.38, AMBER, 0.02)
        plane.rectangle(-width * 0.97, 0.34, width * 0.97, 0.52, (46, 47, 50), 0.03)
        plane.rectangle(-0.27, 0.72, 0.27, 0.84, (226, 226, 216))

    lamps = [(half, hood * 0.74, s * width * 0.78, HEADLAMP) for s in (-1, 1)]
    lamps += [(-half, 1.0, s * width * 0.93, (255, 40, 30)) for s in (-1, 1)]
    cab = Solid(
        profile, width, livery.body, cab_side,
        livery.end(front, width, belt, True),
        None if boxed else livery.end(rear, width, belt, False),
        belt, style.trait("van/taper", 0.88, 0.96), roof=livery.roof,
    )  # fmt: skip
    parts, toppings = [cab], []
    if boxed:
        wide = width * 1.1
        box = np.array(
            [
                (-half, 0.42),
                (-half, top),
                (cab_rear + 0.25, top),
                (cab_rear + 0.35, top - 0.25),
                (cab_rear + 0.35, 0.42),
            ]
        )

        def box_side(plane: Plane) -> None:
            plane.ellipse(axles[0], wheel, wheel * 1.2, wheel * 1.2, shade(livery.body, 0.28))
            livery.paint_side(plane, box, length, belt, top)
            draw_window(
                plane,
                [(-half + 0.5, 1.6), (-half + 1.4, 1.6), (-half + 1.4, 2.05), (-half + 0.5, 2.05)],
                tint,
            )

        parts.append(
            Solid(
                box,
                wide,
                livery.body,
                box_side,
                None,
                livery.end(rear, wide, belt, False),
                roof=livery.roof,
            )
        )
    if livery.bar is not None:
        front_x = cab_rear + 0.0 if boxed else screen - slope - 0.4
        toppings = light_bar(style, livery, front_x, top if boxed else cab_top, width * 0.74)
        toppings += light_bar(style, livery, -half + 0.3, top, width * 0.7)
        lamps += [(front_x, top + 0.12, s * 0.5, livery.bar) for s in (-1, 1)]
        lamps += [(-half + 0.3, top + 0.12, s * 0.5, livery.bar) for s in (-1, 1)]
    rim = shade((160, 162, 166), style.trait("van/rim", 0.5, 1.1))
    shape = "box" if boxed else "panel"
    attributes = {"colour": livery.name, "shape": shape, **livery.attributes}
    return Vehicle(
        category, parts, [(x, wheel) for x in axles], width, rim, toppings, lamps, attributes
    )
