"""What a generated scene is, and the names of everything that can be in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from patchsearch.geometry import Box

VEHICLES = (
    "car",
    "van",
    "truck",
    "bus",
    "ambulance",
    "police-car",
    "fire-truck",
    "taxi",
    "motorcycle",
    "bicycle",
)
PEOPLE = ("pedestrian", "cyclist")
ANIMALS = ("moose", "deer", "cow", "horse", "sheep", "dog", "boar", "bear", "fox")
WARNING_SIGNS = (
    "road-narrows-sign",
    "animal-warning-sign",
    "curve-warning-sign",
    "pedestrian-crossing-sign",
    "children-sign",
    "roadworks-sign",
    "slippery-road-sign",
)
OTHER_SIGNS = (
    "stop-sign",
    "yield-sign",
    "no-entry-sign",
    "speed-limit-sign",
    "no-overtaking-sign",
    "priority-road-sign",
    "parking-sign",
    "one-way-sign",
    "roundabout-sign",
    "direction-sign",
)
CLUTTER = ("traffic-light", "bin", "cone", "bench", "billboard")

CATEGORIES: tuple[str, ...] = VEHICLES + PEOPLE + ANIMALS + WARNING_SIGNS + OTHER_SIGNS + CLUTTER
"""Category names in the order of their COCO ids: `category_id` is the index here plus one."""

TARGET_CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ambulance": ("ambulance",),
        "animal": ANIMALS,
        "road-narrows": ("road-narrows-sign",),
    }
)
"""The rare things one searches for, each with the categories that count as finding it."""


@dataclass(frozen=True)
class SceneObject:
    """One annotated thing.

    `box` holds its visible pixels tightly and lies inside the image. `visible` is the share of the
    whole thing's pixels, those beyond the image's border included, that can be seen (0..1).
    """

    category: str
    box: Box
    visible: float
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A picture, `(h, w, 3) uint8` RGB, with everything in it that counts as an object."""

    pixels: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    attributes: Mapping[str, str]
