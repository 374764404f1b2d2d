"""When hits were taken: bars over time, each of which leads to the search within it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from patchsearch.errors import PatchsearchError
from patchsearch.field_path import join_path
from patchsearch.results import Hit
from ui.axis_steps import round_step, time_step
from ui.metadata_fields import Keys, fields_in, fields_named, value_at
from ui.moments import TimeKind, date_of, date_text, moment_in, units_a_second
from ui.query_url import DeskQuery
from ui.ranges import narrowed_url, range_of, widened_url

_LEFT, _RIGHT, _TOP, _BASE = 4, 356, 14, 84
"""The frame in the drawing, which is 360 wide and 104 high."""
_BARS = 24
_FINEST = 1e-12
"""The smallest step between numbers that are no dates."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Hits of one stretch of time. `x`, `y`, `width`, `height` are in the drawing's units."""

    x: float
    y: float
    width: float
    height: float
    hits: int
    first: str
    last: str
    url: str
    """The search within it; "" where no filter can say so."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a bar ends and the next begins, as text and as a form sends it."""

    text: str
    value: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars, oldest first. `field` is the path of the metadata field."""

    field: str
    hits: int
    """Hits that have a time."""
    most: int
    """Hits of the highest bar."""
    first: str
    last: str
    """Where the axis begins and ends."""
    is_dates: bool
    bars: Sequence[Bar]
    edges: Sequence[Edge]
    """For a form that asks for any stretch; empty where no filter can."""
    widened: str
    """The search at all times; "" where it is not limited."""


def timeline_of(hits: Sequence[Hit], query: DeskQuery, names: Sequence[str]) -> Timeline | None:
    """The timeline by the field, of those with these names, that tells the times of most hits."""
    fields = fields_in(hit.metadata for hit in hits)
    best: tuple[Keys, TimeKind, list[float]] | None = None
    for name in names:
        for keys in fields_named(fields, name):
            kind, values = _values(hits, keys)
            if values and (best is None or len(values) > len(best[2])):
                best = (keys, kind, values)
    if best is None:
        return None
    try:
        return _drawn(join_path(best[0]), best[1], best[2], query)
    except PatchsearchError:  # a key that no path can name
        return None


def _values(hits: Sequence[Hit], keys: Keys) -> tuple[TimeKind, list[float]]:
    """The times of most hits that are written in one way."""
    moments = [moment_in(value_at(hit.metadata, keys)) for hit in hits]
    kinds = Counter(moment.kind for moment in moments if moment is not None)
    if not kinds:
        return TimeKind.TEXT, []
    kind = kinds.most_common(1)[0][0]
    return kind, [m.value for m in moments if m is not None and m.kind is kind]


def _drawn(field: str, kind: TimeKind, values: Sequence[float], query: DeskQuery) -> Timeline:
    units = units_a_second(values) if kind is TimeKind.NUMBER else 1.0
    step, edges = _edges(min(values), max(values), units)
    scale = units or 1.0

    def text(edge: float) -> str:
        return date_text(edge / scale, step) if units else f"{edge:.10g}"

    # By the very edges that filters name, so that a bar leads to as many hits as it shows.
    counts = Counter(bisect_right(edges, value) - 1 for value in values)
    most = max(counts.values())
    wide = (_RIGHT - _LEFT) / (len(edges) - 1)
    bars = []
    for place in sorted(counts):
        low, high = edges[place], edges[place + 1]
        tall = max((_BASE - _TOP) * counts[place] / most, 2.0)
        bars.append(
            Bar(
                x=round(_LEFT + place * wide, 2),
                y=round(_BASE - tall, 2),
                width=round(wide, 2),
                height=round(tall, 2),
                hits=counts[place],
                first=text(low),
                last=text(high),
                url=narrowed_url(query, range_of(field, kind, low, high)),
            )
        )
    told = [Edge(text(edge), _written(edge, kind)) for edge in edges]
    return Timeline(
        field=field,
        hits=len(values),
        most=most,
        first=told[0].text,
        last=told[-1].text,
        is_dates=units is not None,
        bars=bars,
        edges=told if all(bar.url for bar in bars) else [],
        widened=widened_url(query, field),
    )


def _edges(low: float, high: float, units: float | None) -> tuple[float, list[float]]:
    """The step, in seconds for dates, and the edges of bars that hold all from `low` to `high`."""
    scale = units or 1.0
    least = (high - low) / scale / (_BARS - 1)
    # Doubles must be able to tell edges apart.
    finest = max(abs(high) * 1e-12, _FINEST)
    step = time_step(max(least, 1.0)) if units else round_step(max(least or 1.0, finest))
    place = math.floor(low / scale / step)
    if place * step * scale > low:
        place -= 1
    edges = [_plain(place * step * scale)]
    while edges[-1] <= high:
        place += 1
        edges.append(_plain(place * step * scale))
    return step, edges


def _plain(value: float) -> float:
    return float(f"{value:.15g}")  # 0.3, not 0.30000000000000004


def _written(value: float, kind: TimeKind) -> str:
    if kind is TimeKind.NUMBER:
        return repr(value)
    try:
        return date_of(value).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return ""
