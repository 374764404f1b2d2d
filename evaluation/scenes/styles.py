"""Styles: the look that all objects of a scene share.

A style is a number. Every property of every kind of object that should differ between styles -
proportions, palettes, line weights, liveries - is asked for by name with `trait`, `choose` or
`tint` and is a fixed function of the number and that name, spread evenly over the range given.
Styles made for training and styles held out for evaluation are therefore of one family but differ
in every property.
"""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

Colour = tuple[int, int, int]
T = TypeVar("T")

TRAINING_STYLES = range(0, 64)
HELDOUT_STYLES = range(1000, 1016)


@lru_cache(maxsize=65536)
def _share(number: int, name: str) -> float:
    digest = hashlib.blake2b(f"{number}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


@dataclass(frozen=True)
class Style:
    """The look with this number."""

    number: int

    def trait(self, name: str, low: float, high: float) -> float:
        """The style's value of the property, in `[low, high)`."""
        return low + (high - low) * _share(self.number, name)

    def choose(self, name: str, options: Sequence[T]) -> T:
        """The option that this style takes."""
        return options[int(_share(self.number, name) * len(options))]

    def tint(
        self,
        name: str,
        hue: tuple[float, float],
        saturation: tuple[float, float],
        value: tuple[float, float],
    ) -> Colour:
        """The style's colour for the property; the ranges are shares of the circle and of 1."""
        return hsv(
            self.trait(name + "/hue", *hue),
            self.trait(name + "/saturation", *saturation),
            self.trait(name + "/value", *value),
        )


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """An RGB colour from hue, saturation and value in 0..1 (the hue wraps around)."""
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    )
    return round(red * 255), round(green * 255), round(blue * 255)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (min(max(round(part * factor), 0), 255) for part in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first, 0..1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jitter(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """The colour, moved at random by up to `spread` levels in each channel."""
    moves = rng.uniform(-spread, spread, 3)
    red, green, blue = (
        min(max(round(part + move), 0), 255) for part, move in zip(colour, moves, strict=True)
    )
    return red, green, blue
