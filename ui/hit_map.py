"""Where hits were taken: a plain scatter over latitude and longitude, without any tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from patchsearch.errors import PatchsearchError
from patchsearch.field_path import join_path
from patchsearch.results import Hit
from ui.axis_steps import round_step, round_step_below
from ui.metadata_fields import Keys, fields_in, number_in, pairs_named, value_at

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 354, 6, 152
"""The frame in the drawing, which is 360 wide and 170 high."""
_MARGIN = 0.06
_LEAST_DEGREES = 0.0005
"""About 55 m: what a map shows at least, so that one place alone has surroundings."""
_METRES_A_DEGREE = 111_320.0
_LONGEST_BAR = 90.0


@dataclass(frozen=True, slots=True)
class Place:
    """One image with hits. `rank` is that of its best hit, from 1."""

    x: float
    y: float
    latitude: float
    longitude: float
    rank: int
    hits: int
    best: Hit


@dataclass(frozen=True, slots=True)
class GridLine:
    """A line of the graticule: at `at` in the drawing, for so many degrees."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class HitMap:
    """Places by the rank of their best hit, the lines of a graticule, and a scale bar."""

    fields: tuple[str, str]
    """Paths of latitude and longitude in the metadata."""
    hits: int
    places: Sequence[Place]
    parallels: Sequence[GridLine]
    meridians: Sequence[GridLine]
    bar_length: float
    bar_text: str


@dataclass(frozen=True, slots=True)
class _Spot:
    latitude: float
    longitude: float
    rank: int
    hits: int
    best: Hit


def map_of(hits: Sequence[Hit], pairs: Sequence[tuple[str, str]]) -> HitMap | None:
    """The map by the two fields, of those with these names, that tell the place of most hits."""
    fields = fields_in(hit.metadata for hit in hits)
    best: tuple[Keys, Keys] | None = None
    spots: list[_Spot] = []
    for one, other in pairs:
        for latitude, longitude in pairs_named(fields, one, other):
            found = _spots(hits, latitude, longitude)
            if sum(spot.hits for spot in found) > sum(spot.hits for spot in spots):
                best, spots = (latitude, longitude), found
    if best is None:
        return None
    try:
        return _drawn((join_path(best[0]), join_path(best[1])), spots)
    except PatchsearchError:  # a key that no path can name
        return None


def _spots(hits: Sequence[Hit], latitude: Keys, longitude: Keys) -> list[_Spot]:
    by_image: dict[str, _Spot] = {}
    for rank, hit in enumerate(hits, 1):
        north = number_in(value_at(hit.metadata, latitude))
        east = number_in(value_at(hit.metadata, longitude))
        if north is None or east is None or abs(north) > 90 or not -180 <= east <= 360:
            continue
        known = by_image.get(hit.image_id)
        by_image[hit.image_id] = (
            _Spot(north, east if east <= 180 else east - 360, rank, 1, hit)
            if known is None
            else replace(known, hits=known.hits + 1)
        )
    return list(by_image.values())


def _drawn(fields: tuple[str, str], spots: Sequence[_Spot]) -> HitMap:
    norths = [spot.latitude for spot in spots]
    easts = _together([spot.longitude for spot in spots])
    north, east = (min(norths) + max(norths)) / 2, (min(easts) + max(easts)) / 2
    squeeze = max(math.cos(math.radians(north)), 0.01)
    wide, high = _RIGHT - _LEFT, _BOTTOM - _TOP
    room = 1 + 2 * _MARGIN
    tall = max((max(norths) - min(norths)) * room, _LEAST_DEGREES)
    broad = max((max(easts) - min(easts)) * squeeze * room, _LEAST_DEGREES)
    # Degrees of latitude a unit of the drawing: the same both ways.
    scale = max(tall / high, broad / wide)

    def x(degrees: float) -> float:
        return round((_LEFT + _RIGHT) / 2 + (degrees - east) * squeeze / scale, 2)

    def y(degrees: float) -> float:
        return round((_TOP + _BOTTOM) / 2 - (degrees - north) / scale, 2)

    places = [
        Place(x(at), y(s.latitude), s.latitude, s.longitude, s.rank, s.hits, s.best)
        for s, at in zip(spots, easts, strict=True)
    ]
    half_high, half_wide = high / 2 * scale, wide / 2 * scale / squeeze
    parallels = _lines(max(north - half_high, -90), min(north + half_high, 90))
    meridians = _lines(east - half_wide, east + half_wide)
    metres = round_step_below(_LONGEST_BAR * scale * _METRES_A_DEGREE)
    return HitMap(
        fields=fields,
        hits=sum(spot.hits for spot in spots),
        places=places,
        parallels=[GridLine(y(at), text) for at, text in parallels],
        meridians=[GridLine(x(at), text) for at, text in meridians],
        bar_length=round(metres / _METRES_A_DEGREE / scale, 2),
        bar_text=f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m",
    )


def _together(longitudes: Sequence[float]) -> list[float]:
    """The longitudes such that places on both sides of the date line are near each other."""
    turned = [at + 360 if at < 0 else at for at in longitudes]
    plain = max(longitudes) - min(longitudes)
    return turned if max(turned) - min(turned) < plain else list(longitudes)


def _lines(low: float, high: float) -> list[tuple[float, str]]:
    """About four round degrees between two."""
    step = round_step((high - low) / 4)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step)
    found = []
    for place in range(first, math.floor(high / step) + 1):
        at = place * step
        shown = at - 360 if at > 180 else at + 360 if at < -180 else at
        found.append((at, f"{shown:.{digits}f}°"))
    return found
