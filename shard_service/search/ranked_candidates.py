"""The candidates of one segment for one query, scored exactly, in order, the best of them kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shard_service.index.half_rows import MOST_SINGLE_ROWS
from shard_service.index.scattered_reads import AVAILABLE
from shard_service.search.candidates import CandidateSource
from shard_service.search.query import ALL, PartitionQuery, Share
from shard_service.search.rank_kernel import overlooked, rank, read_and_settle, told
from shard_service.segments.row_table import RowTable, Segment
from shard_service.segments.selection import Selection

BoxTuple = tuple[int, int, int, int]

# What the 65 536 halves mean.
_SINGLES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
_NO_ROWS = np.empty(0, np.int64)
_NO_SCORES = np.empty(0, np.float32)
_IN_ORDER = np.empty(0, np.int32)
_IN_ORDER.flags.writeable = False


class RankedRow(NamedTuple):
    """A row that made it: its image, box and score, and the patches that it suppressed.

    `image` is the image's place in `table`, `first_sequence` the sequence of its first patch.
    """

    table: RowTable
    image: int
    first_sequence: int
    box: BoxTuple
    level: int
    score: float
    suppressed: tuple[tuple[BoxTuple, float], ...]

    @property
    def image_id(self) -> bytes:
        """The image's id, UTF-8."""
        return self.table.image_ids[self.image]


class RankedCandidates:
    """See above; grows round by round. `kept_scores` descend. Not thread-safe.

    `alone`: no other segment is searched, so that every kept row is a hit. `share`: of what is
    asked of a collection; fewer candidates are enough for a part of it.
    """

    def __init__(
        self,
        segment: Segment,
        selection: Selection,
        query: PartitionQuery,
        *,
        alone: bool,
        share: Share = ALL,
    ) -> None:
        self._segment = segment
        self._query = query
        self._alone = alone
        self._vector = query.vector.astype(np.float64)
        self._threshold = -np.inf if query.score_threshold is None else query.score_threshold
        self._source = CandidateSource(segment, selection, query, share)
        self._rows = _NO_ROWS
        self._scores = self.kept_scores = self._behind_scores = _NO_SCORES
        self._dry = False
        self._complete = False
        self._completed: set[int] = set()
        self._hits = np.empty((0, 8), np.int64)
        self._behind = np.empty((0, 5), np.int64)
        self.tied = False

    @property
    def read(self) -> int:
        """How many rows' vectors were compared with the query."""
        return max(self._source.read, len(self._rows))

    @property
    def kept_rows(self) -> NDArray[np.int64]:
        """The rows of the segment that are kept, best first."""
        return self._rows[self._hits[:, 0]]

    def draw(self, wanted: int) -> None:
        """Takes the best `wanted`, or more."""
        rows = self._source.more(wanted)
        known = len(self._rows)
        if known:
            rows = rows[~np.isin(rows, self._rows)]
        if len(rows):
            self._take(rows)
        if self._query.score_threshold is not None:
            good = np.count_nonzero(self._scores[known : known + len(rows)] >= self._threshold)
            # An index gives its best first, roughly: most below it means all from here.
            self._dry = 2 * int(good) < len(rows)

    def is_unsettled(self, least: float, *, full: bool) -> bool:
        """Whether a row that was not drawn may score more than `least`, as far as can be known.

        `full`: there are as many hits as were asked for.
        """
        bound = self._source.bound
        if bound <= least:
            return False
        return not (bound == np.inf and (full or self._dry) and len(self._rows))

    def draw_overlapping(self, least: float) -> int:
        """Takes the rows that overlap a kept one of their image that scores `least` or more.

        What an index overlooked of an image that it found takes part in the dedup this way.
        Returns how many there were.
        """
        if self._complete:
            return 0
        kept = self._hits[: self.count_from(least), 0].tolist()
        fresh = [at for at in kept if at not in self._completed]
        if not fresh:
            return 0
        self._completed.update(fresh)
        table = self._segment.table
        rows = overlooked(
            self._rows,
            np.array(fresh, np.int64),
            table.boxes,
            table.row_images,
            table.image_starts,
            _IN_ORDER if table.image_rows is None else table.image_rows,
        )
        if len(rows):
            self._take(rows)
        return len(rows)

    def count_from(self, least: float) -> int:
        """How many of the kept ones score `least` or more."""
        scores = self.kept_scores
        if len(scores) and scores[-1] >= least:
            return len(scores)
        return int(np.count_nonzero(scores >= least))

    def rows(self, count: int) -> list[RankedRow]:
        """The first `count` of the kept ones, with what they suppress."""
        table = self._segment.table
        behind = self._suppressed(count)
        scores = self.kept_scores[:count].tolist()
        return [
            RankedRow(table, image, sequence, (x, y, width, height), level, score, suppressed)
            for (_, image, sequence, level, x, y, width, height), score, suppressed in zip(
                self._hits[:count].tolist(), scores, behind, strict=True
            )
        ]

    def _suppressed(self, count: int) -> list[tuple[tuple[BoxTuple, float], ...]]:
        """What each of the first `count` suppresses."""
        count = min(count, len(self._hits))
        if len(self._behind) == 0:
            return [()] * count
        found: list[list[tuple[BoxTuple, float]]] = [[] for _ in range(len(self._hits))]
        for (place, x, y, width, height), score in zip(
            self._behind.tolist(), self._behind_scores.tolist(), strict=True
        ):
            found[place].append(((x, y, width, height), score))
        return [tuple(one) for one in found[:count]]

    def _take(self, rows: NDArray[np.int64]) -> None:
        """Scores rows that are new and ranks all again."""
        known = len(self._rows)
        if known:
            rows = np.concatenate((self._rows, rows))
        scores = np.empty(len(rows), np.float32)
        scores[:known] = self._scores
        table = self._segment.table
        limits = (self._threshold, self._query.k, not self._query.keep_overlapping)
        file = self._segment.row_file
        cached = False
        if file is not None and len(rows) - known <= MOST_SINGLE_ROWS:
            cached, self._rows, self._scores, hits = read_and_settle(
                file.number,
                file.begin,
                self._vector,
                _SINGLES,
                rows,
                scores,
                known,
                table.boxes,
                table.levels,
                table.row_images,
                table.image_starts,
                _IN_ORDER if table.image_rows is None else table.image_rows,
                table.first_sequences,
                *limits,
                self._alone,
            )
        if not cached:
            halves = self._segment.vectors(rows[known:]).view(np.uint16)
            boxes, images = table.boxes, table.row_images
            ranking = rank(
                self._vector, halves, _SINGLES, rows, scores, known, boxes, images, *limits
            )
            self._rows, self._scores = rows, scores
            hits = told(rows, scores, ranking, boxes, table.levels, images, table.first_sequences)
        self._complete = cached and self._alone
        self._hits, self.kept_scores, self._behind, self._behind_scores, self.tied = hits


def warm_up() -> None:
    """Compiles what searches need, or loads what was compiled before: some seconds, or one."""
    rows, boxes, images = np.zeros(1, np.int64), np.zeros((1, 4), np.int32), np.zeros(1, np.int32)
    starts, levels, sequences = np.arange(2), np.zeros(1, np.uint16), np.zeros(1, np.int64)
    for array in (boxes, images, starts, levels, sequences):
        array.flags.writeable = False
    halves, scores, query = np.zeros((1, 1), np.uint16), np.zeros(1, np.float32), np.zeros(1)
    limits = (-np.inf, 1, True)
    ranking = rank(query, halves, _SINGLES, rows, scores, 0, boxes, images, *limits)
    told(rows, scores, ranking, boxes, levels, images, sequences)
    places = (boxes, levels, images, starts, _IN_ORDER, sequences)
    if AVAILABLE:
        no_file = -1
        read_and_settle(no_file, 0, query, _SINGLES, rows, scores, 0, *places, *limits, True)
    overlooked(rows, rows, boxes, images, starts, _IN_ORDER)
