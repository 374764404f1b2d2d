"""What images say of themselves in their metadata, and the filters that are asked of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from patchsearch.filter_field import Field
from patchsearch.filters import Filter, ImageIdPrefix, Match, Not
from patchsearch.wire.structs import struct_to_proto

_WEATHER = ("snow", "rain", "sun")

Condition = tuple[Filter, Callable[[str, Mapping[str, Any]], bool]]


def facts_of(image_id: str, version: int) -> dict[str, Any]:
    """The metadata of the image that is written under this id and version; some have none."""
    rng = np.random.default_rng([zlib.crc32(image_id.encode()), version, 7])
    if rng.random() < 0.1:
        return {}
    facts: dict[str, Any] = {
        "weather": str(rng.choice(_WEATHER)),
        "speed": float(rng.integers(-5, 100)),
        "note": rng.bytes(int(rng.integers(0, 90))).hex(),
    }
    if rng.random() < 0.3:
        facts["night"] = True
    return facts


def packed(facts: Mapping[str, Any]) -> bytes:
    """As images keep them."""
    return struct_to_proto(facts).SerializeToString(deterministic=True)


CONDITIONS: tuple[Condition, ...] = (
    (Match("weather", ("snow",)), lambda key, facts: facts.get("weather") == "snow"),
    (Match("night", (True,)), lambda key, facts: "night" in facts),
    (Field("speed") > 40, lambda key, facts: facts.get("speed", 0) > 40),
    (Not(Field("weather").exists()), lambda key, facts: "weather" not in facts),
    (
        Match("weather", ("sun", "rain")) & (Field("speed").between(0, 60)),
        lambda key, facts: facts.get("weather") in ("sun", "rain") and 0 <= facts["speed"] <= 60,
    ),
    (
        ImageIdPrefix("shared/") | Not(Match("weather", ("sun",))),
        lambda key, facts: key.startswith("shared/") or facts.get("weather") != "sun",
    ),
)
"""Filters, and which images meet them: a function of id and metadata."""
