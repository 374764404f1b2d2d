"""How the hits of an answer lie in time and space, as the results page draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchsearch.results import Hit
from ui.hit_map import HitMap, map_of
from ui.query_url import DeskQuery
from ui.timeline import Timeline, timeline_of

HITS = 100
"""Best hits that are looked at, for a page of hits alone would say little."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A timeline, a map, or both."""

    hits: int
    """Hits that were looked at."""
    timeline: Timeline | None
    map: HitMap | None


def spread_of(
    hits: Sequence[Hit],
    query: DeskQuery,
    time_fields: Sequence[str],
    position_fields: Sequence[tuple[str, str]],
) -> Spread | None:
    """None where no metadata of the hits has a time or a position under one of these names."""
    timeline = timeline_of(hits, query, time_fields)
    places = map_of(hits, position_fields)
    return None if timeline is None and places is None else Spread(len(hits), timeline, places)
