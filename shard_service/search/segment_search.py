"""Searches the segments of one snapshot: candidates, exact scores, order, overlap dedup, top k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shard_service.search.query import ALL, PartitionQuery, Share
from shard_service.search.ranked_candidates import BoxTuple, RankedCandidates, RankedRow
from shard_service.segments.row_table import Segment
from shard_service.segments.selection import Selection

_NO_SCORES = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best rows in the order of hits, and how many candidates were scored for them."""

    rows: tuple[RankedRow, ...]
    candidates_read: int


def search_segments(
    segments: Sequence[Segment],
    selections: Sequence[Selection],
    query: PartitionQuery,
    checkpoint: Callable[[], None],
    share: Share = ALL,
) -> Ranking:
    """The best `query.k` of the selected rows of `segments`; fewer only when there are no more.

    Scores are exact, whatever the index said. A hit's suppressed patches are all patches of its
    image that overlap it and reach the threshold, candidates or not. `checkpoint` is called between
    rounds and may raise to give up; `share` says how many candidates are enough. Thread-safe;
    releases the GIL in the heavy parts, and there alone: each time that it is taken back, other
    threads may have had it for a while.
    """
    # An image is in one segment alone, so what each keeps for itself need only be merged.
    asked = [
        RankedCandidates(segment, selection, query, alone=len(segments) == 1, share=share)
        for segment, selection in zip(segments, selections, strict=True)
    ]
    unsettled = asked
    wanted = query.k
    while True:
        checkpoint()
        for one in unsettled:
            one.draw(wanted)
        wanted *= 2
        while True:
            least, full = _least(asked, query)
            unsettled = [one for one in asked if one.is_unsettled(least, full=full)]
            if unsettled:
                break
            if query.keep_overlapping or not sum(one.draw_overlapping(least) for one in asked):
                return Ranking(_merged(asked, query.k, least), sum(one.read for one in asked))


def _least(asked: Sequence[RankedCandidates], query: PartitionQuery) -> tuple[float, bool]:
    """The score that a row must exceed to get among the best k, and whether there are k."""
    if len(asked) == 1:
        scores = asked[0].kept_scores
    else:
        scores = np.concatenate([_NO_SCORES, *(one.kept_scores for one in asked)])
        scores[::-1].sort()
    full = len(scores) >= query.k
    threshold = -np.inf if query.score_threshold is None else query.score_threshold
    return (max(threshold, float(scores[query.k - 1])) if full else threshold), full


def _merged(asked: Sequence[RankedCandidates], k: int, least: float) -> tuple[RankedRow, ...]:
    if len(asked) == 1 and not asked[0].tied:
        return tuple(asked[0].rows(k))
    rows = [row for one in asked for row in one.rows(one.count_from(least))]
    return tuple(sorted(rows, key=_hit_order)[:k])


def _hit_order(row: RankedRow) -> tuple[float, bytes, BoxTuple]:
    return -row.score, row.image_id, row.box
