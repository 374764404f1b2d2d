"""Searches the segments of one snapshot: candidates, exact scores, order, overlap dedup, top k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shard_service.search.candidates import CandidateSource
from shard_service.search.query import PartitionQuery
from shard_service.search.ranking import BoxTuple, Kept, hit_order, keep_best, keep_first
from shard_service.search.scoring import exact_scores
from shard_service.segments.row_table import RowTable, Segment
from shard_service.segments.selection import Selection


@dataclass(frozen=True, slots=True)
class RankedRow:
    """A row that made it: where it is, its box and score, and the patches that it suppressed."""

    segment: int
    image: int
    box: BoxTuple
    level: int
    score: float
    suppressed: tuple[tuple[BoxTuple, float], ...]


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
) -> Ranking:
    """The best `query.k` of the selected rows of `segments`; fewer only when there are no more.

    Scores are exact, whatever the index said. A hit's suppressed patches are all patches of its
    image that overlap it and reach the threshold, candidates or not. `checkpoint` is called between
    rounds and may raise to give up. Thread-safe; releases the GIL in the heavy parts.
    """
    pool = _Pool(segments, selections, query)
    wanted = query.k
    while True:
        checkpoint()
        order, kept = pool.ranked()
        if unsettled := pool.unsettled(order, kept):
            pool.draw(unsettled, wanted)
            wanted *= 2
        elif query.keep_overlapping or not pool.draw_overlapping(order, kept):
            return pool.ranking(order)


class _Pool:
    """The candidates of one search, scored exactly; parallel columns, one entry a candidate."""

    def __init__(
        self,
        segments: Sequence[Segment],
        selections: Sequence[Selection],
        query: PartitionQuery,
    ) -> None:
        self._query = query
        self._segments = segments
        self._sources = [
            CandidateSource(segment, selection, query)
            for segment, selection in zip(segments, selections, strict=True)
        ]
        self._reads = [0] * len(segments)
        self._dry = [False] * len(segments)
        self._segment_of = np.empty(0, np.int64)
        self._images = np.empty(0, np.int64)
        self._boxes = np.empty((0, 4), np.int32)
        self._levels = np.empty(0, np.uint16)
        self._scores = np.empty(0, np.float32)
        self._completed = np.empty(0, np.bool_)

    def ranked(self) -> tuple[NDArray[np.int64], list[Kept]]:
        """The candidates in the order of hits, and the places in it that are kept."""
        order = hit_order(self._scores, self._tie_key)
        return order, self._kept(order, self._boxes[order].tolist(), with_suppressed=False)

    def unsettled(self, order: NDArray[np.int64], kept: list[Kept]) -> list[int]:
        """The segments that may hold a row that belongs among the kept ones."""
        threshold = self._query.score_threshold
        least = -np.inf if threshold is None else threshold
        full = len(kept) == self._query.k
        if full:
            least = max(least, float(self._scores[order[kept[-1].place]]))
        return [
            number
            for number, source in enumerate(self._sources)
            if source.bound > least
            and not (source.bound == np.inf and (full or self._dry[number]) and self._reads[number])
        ]

    def draw(self, segments: Sequence[int], wanted: int) -> None:
        """Takes the best `wanted`, or more, of `segments`."""
        for number in segments:
            rows = self._sources[number].more(wanted)
            added = self._take(number, rows)
            # An index gives its best first, roughly: most below the threshold means all from here.
            self._dry[number] = 2 * added < len(rows)

    def draw_overlapping(self, order: NDArray[np.int64], kept: list[Kept]) -> bool:
        """Takes the rows that overlap a kept one of their image; tells whether there were new ones.

        What an index overlooked of an image that it found takes part in the dedup this way.
        """
        places = order[[one.place for one in kept]]
        places = places[~self._completed[places]]
        self._completed[places] = True
        added = 0
        for number in np.unique(self._segment_of[places]).tolist():
            mine = places[self._segment_of[places] == number]
            rows = _overlapping(self._segments[number].table, self._images[mine], self._boxes[mine])
            added += self._take(number, self._sources[number].add(rows))
        return added > 0

    def ranking(self, order: NDArray[np.int64]) -> Ranking:
        """The kept candidates as rows, with what they suppress."""
        read = sum(
            max(source.read, rescored)
            for source, rescored in zip(self._sources, self._reads, strict=True)
        )
        boxes = [(x, y, w, h) for x, y, w, h in self._boxes[order].tolist()]
        scores = self._scores[order].tolist()
        rows = []
        for one in self._kept(order, boxes, with_suppressed=True):
            at = order[one.place]
            rows.append(
                RankedRow(
                    segment=int(self._segment_of[at]),
                    image=int(self._images[at]),
                    box=boxes[one.place],
                    level=int(self._levels[at]),
                    score=scores[one.place],
                    suppressed=tuple((boxes[place], scores[place]) for place in one.suppressed),
                )
            )
        return Ranking(tuple(rows), read)

    def _kept(
        self,
        order: NDArray[np.int64],
        boxes: Sequence[Sequence[int]],
        *,
        with_suppressed: bool,
    ) -> list[Kept]:
        if self._query.keep_overlapping:
            return keep_first(len(order), self._query.k)
        images = ((self._segment_of << 32) | self._images)[order]
        return keep_best(images.tolist(), boxes, self._query.k, with_suppressed=with_suppressed)

    def _take(self, number: int, rows: NDArray[np.int64]) -> int:
        if len(rows) == 0:
            return 0
        self._reads[number] += len(rows)
        segment = self._segments[number]
        scores = exact_scores(self._query.vector, segment.vectors(rows))
        if self._query.score_threshold is not None:
            good = scores >= self._query.score_threshold
            rows, scores = rows[good], scores[good]
        table = segment.table
        self._segment_of = np.concatenate((self._segment_of, np.full(len(rows), number)))
        self._images = np.concatenate((self._images, table.row_images[rows].astype(np.int64)))
        self._boxes = np.concatenate((self._boxes, table.boxes[rows]))
        self._levels = np.concatenate((self._levels, table.levels[rows]))
        self._scores = np.concatenate((self._scores, scores))
        self._completed = np.concatenate((self._completed, np.zeros(len(rows), np.bool_)))
        return len(rows)

    def _tie_key(self, at: int) -> tuple[bytes, BoxTuple]:
        table = self._segments[int(self._segment_of[at])].table
        x, y, w, h = self._boxes[at].tolist()
        return table.image_ids[int(self._images[at])], (x, y, w, h)


def _overlapping(
    table: RowTable, images: NDArray[np.int64], boxes: NDArray[np.int32]
) -> NDArray[np.int64]:
    """The rows of `images` (n,) that share a pixel with the box (n, 4) beside them."""
    rows = table.rows_of(images)
    counts = table.image_starts[images + 1] - table.image_starts[images]
    own, kept = table.boxes[rows], np.repeat(boxes, counts, axis=0)
    shared = (own[:, :2] < kept[:, :2] + kept[:, 2:]) & (kept[:, :2] < own[:, :2] + own[:, 2:])
    return np.unique(rows[shared.all(axis=1)])
