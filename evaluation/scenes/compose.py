"""A whole scene from its seed."""

from __future__ import annotations

import numpy as np

from evaluation.scenes.camera import Camera
from evaluation.scenes.layers import lay
from evaluation.scenes.model import Scene
from evaluation.scenes.place import choose_setting
from evaluation.scenes.population import populate
from evaluation.scenes.setting import draw_setting
from evaluation.scenes.styles import HELDOUT_STYLES, Style
from evaluation.scenes.weather import apply_camera, apply_light, apply_weather


def generate_scene(
    seed: int, style: int = HELDOUT_STYLES.start, width: int = 1920, height: int = 1080
) -> Scene:
    """Draws the scene of this seed in this style; the same arguments give the same pixels."""
    rng = np.random.default_rng((seed, style, width, height))
    look = Style(style)
    camera = Camera(
        focal=width * float(rng.uniform(0.55, 1.0)),
        height=float(rng.uniform(1.25, 2.3)),
        centre=width * float(rng.uniform(0.42, 0.58)),
        horizon=height * float(rng.uniform(0.38, 0.52)),
    )
    setting = choose_setting(look, rng)
    picture = draw_setting(width, height, camera, setting, look, rng)
    sprites = populate(width, height, camera, setting, look, rng)
    objects, glows = lay(picture, sprites, setting)
    picture = apply_light(picture, setting, glows, rng)
    picture = apply_weather(picture, setting, rng)
    picture = apply_camera(picture, setting, rng)
    attributes = {
        "weather": setting.weather,
        "light": setting.light,
        "place": setting.place,
        "style": str(style),
    }
    return Scene(picture, objects, attributes)
