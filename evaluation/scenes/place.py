"""Where a photo is taken, and under which sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.scenes.styles import Colour, Style, mix

PLACES = ("city street", "country road", "highway")


@dataclass(frozen=True)
class Setting:
    """Where the photo is taken and under which sky. `half_road` is metres from the middle of the
    road to its edge; `bend` moves the road sideways by `bend * z**2` metres."""

    place: str
    light: str
    weather: str
    half_road: float
    bend: float
    sky: Colour
    haze: float

    def middle(self, depth: float) -> float:
        """Where the middle of the road lies at this distance, in metres to the right."""
        return self.bend * depth * depth


def choose_setting(style: Style, rng: np.random.Generator) -> Setting:
    """Draws place, light and weather."""
    place = str(rng.choice(PLACES, p=[0.4, 0.38, 0.22]))
    light = str(rng.choice(["day", "dusk", "night", "overcast"], p=[0.5, 0.13, 0.12, 0.25]))
    weather = str(rng.choice(["clear", "rain", "snow", "fog"], p=[0.66, 0.13, 0.1, 0.11]))
    sky = {
        "day": style.tint("sky", (0.55, 0.6), (0.25, 0.55), (0.8, 0.95)),
        "dusk": style.tint("sky/dusk", (0.02, 0.1), (0.25, 0.5), (0.6, 0.8)),
        "night": (18, 22, 36),
        "overcast": (176, 182, 188),
    }[light]
    if weather != "clear" and light != "night":
        sky = mix(sky, (178, 182, 186), 0.7)
    half = {"city street": 5.0, "country road": 3.6, "highway": 8.0}[place] * style.trait(
        "road/width", 0.9, 1.15
    )
    bend = float(rng.choice([0.0, rng.uniform(-0.004, 0.004)], p=[0.5, 0.5]))
    haze = 0.02 if weather == "fog" else 0.005 if weather in ("rain", "snow") else 0.001
    return Setting(place, light, weather, half, bend, sky, haze)
