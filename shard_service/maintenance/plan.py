"""What to rebuild next; pure functions over sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DEAD_SHARE = 0.2
"""From this share of deleted rows on a segment is rebuilt."""

_TIER_RATIO = 4
_IDLE_RATIO = 8


@dataclass(frozen=True, slots=True)
class SegmentSize:
    """Rows of a sealed segment, dead ones too, and those that are live."""

    rows: int
    live_rows: int


def to_rebuild(
    sizes: Sequence[SegmentSize], *, small_rows: int, max_rows: int, idle: bool
) -> list[int]:
    """The places of the segments to make one of, or to rebuild alone; none when all is well.

    Segments with too many dead rows come first. Then four of about one size become one of the next:
    a row is rebuilt once for each factor of four that its partition grows, and there are at most
    three segments of a size. Where nothing is written (`idle`), small ones join a larger one when
    they are a share worth it. No merge grows beyond `max_rows`.
    """
    worn = [
        place
        for place, size in enumerate(sizes)
        if size.rows - size.live_rows > DEAD_SHARE * size.rows
    ]
    if worn:
        return _within(worn, sizes, max_rows) or worn[:1]
    tiers: dict[int, list[int]] = {}
    for place, size in enumerate(sizes):
        tier = int(math.log(max(size.live_rows / small_rows, 1.0), _TIER_RATIO))
        tiers.setdefault(tier, []).append(place)
    for _, places in sorted(tiers.items()):
        if len(places) >= _TIER_RATIO:
            joined = _within(places, sizes, max_rows)
            if len(joined) > 1:
                return joined
    return _idle_merge(sizes, max_rows) if idle else []


def _idle_merge(sizes: Sequence[SegmentSize], max_rows: int) -> list[int]:
    order = sorted(range(len(sizes)), key=lambda place: sizes[place].live_rows)
    chosen: list[int] = []
    total = 0
    for place in order:
        rows = sizes[place].live_rows
        if total + rows > max_rows or (chosen and rows > _IDLE_RATIO * total):
            break
        chosen.append(place)
        total += rows
    return sorted(chosen) if len(chosen) > 1 else []


def _within(places: Sequence[int], sizes: Sequence[SegmentSize], max_rows: int) -> list[int]:
    """As many of `places`, smallest first, as fit into one segment."""
    chosen: list[int] = []
    total = 0
    for place in sorted(places, key=lambda place: sizes[place].live_rows):
        total += sizes[place].live_rows
        if total > max_rows:
            break
        chosen.append(place)
    return sorted(chosen)
