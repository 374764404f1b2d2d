"""The candidates of one segment for one query, scored exactly, in order, the best of them kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shard_service.index.half_rows import MOST_SINGLE_ROWS
from shard_service.index.scattered_reads import AVAILABLE
from shard_service.search.candidates import CandidateSource
from shard_service.search.query import PartitionQuery
from shard_service.search.rank_kernel import overlooked, rank, read_and_rank
from shard_service.segments.row_table import RowTable, Segment
from shard_service.segments.selection import Selection

BoxTuple = tuple[int, int, int, int]

# What the 65 536 halves mean.
_SINGLES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
_NO_ROWS = np.empty(0, np.int64)
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
    """See above; grows round by round. `kept_scores` descend. Not thread-safe."""

    def __init__(self, segment: Segment, selection: Selection, query: PartitionQuery) -> None:
        self._segment = segment
        self._query = query
        self._vector = query.vector.astype(np.float64)
        self._threshold = -np.inf if query.score_threshold is None else query.score_threshold
        self._source = CandidateSource(segment, selection, query)
        self._rows = _NO_ROWS
        self._scores = np.empty(0, np.float32)
        self._dry = False
        self._completed: set[int] = set()
        self._kept = self._suppressed = self._by = _NO_ROWS
        self.kept_scores: NDArray[np.float32] = self._scores
        self.tied = False

    @property
    def read(self) -> int:
        """How many rows' vectors were compared with the query."""
        return max(self._source.read, len(self._rows))

    @property
    def kept_rows(self) -> NDArray[np.int64]:
        """The rows of the segment that are kept, best first."""
        return self._rows[self._kept]

    def draw(self, wanted: int) -> None:
        """Takes the best `wanted`, or more."""
        rows = self._source.more(wanted)
        good = self._take(rows)
        # An index gives its best first, roughly: most below the threshold means all from here.
        self._dry = 2 * good < len(rows)

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
        kept = self._kept[: self.count_from(least)].tolist()
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
        self._source.add(rows)
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
        kept = self._rows[self._kept[:count]]
        suppressed = self._suppressed_by(count)
        rows = []
        for place, (image, box, level, score) in enumerate(
            zip(
                table.row_images[kept].tolist(),
                table.boxes[kept].tolist(),
                table.levels[kept].tolist(),
                self.kept_scores[:count].tolist(),
                strict=True,
            )
        ):
            behind = suppressed.get(place)
            rows.append(
                RankedRow(
                    table,
                    image,
                    int(table.first_sequences[image]),
                    tuple(box),
                    level,
                    score,
                    tuple(behind) if behind else (),
                )
            )
        return rows

    def _suppressed_by(self, count: int) -> dict[int, list[tuple[Any, float]]]:
        found: dict[int, list[tuple[Any, float]]] = {}
        if len(self._suppressed):
            boxes = self._segment.table.boxes[self._rows[self._suppressed]].tolist()
            scores = self._scores[self._suppressed].tolist()
            for place, box, score in zip(self._by.tolist(), boxes, scores, strict=True):
                if place < count:
                    found.setdefault(place, []).append((tuple(box), score))
        return found

    def _take(self, rows: NDArray[np.int64]) -> int:
        """Scores rows that are new and ranks all again; returns how many reach the threshold."""
        if len(rows) == 0:
            return 0
        known = len(self._rows)
        self._rows = np.concatenate((self._rows, rows)) if known else rows
        scores = np.empty(len(self._rows), np.float32)
        scores[:known] = self._scores
        table = self._segment.table
        arguments = (
            _SINGLES,
            self._rows,
            scores,
            known,
            table.boxes,
            table.row_images,
            self._threshold,
            self._query.k,
            not self._query.keep_overlapping,
        )
        file = self._segment.row_file
        cached = False
        if file is not None and len(rows) <= MOST_SINGLE_ROWS:
            cached, ranking = read_and_rank(file.number, file.begin, self._vector, *arguments)
        if not cached:
            halves = self._segment.vectors(rows).view(np.uint16)
            ranking = rank(self._vector, halves, *arguments)
        self._kept, self._suppressed, self._by, self.tied = ranking
        self._scores = scores
        self.kept_scores = scores[self._kept]
        if self._query.score_threshold is None:
            return len(rows)
        return int(np.count_nonzero(scores[known:] >= self._threshold))


def warm_up() -> None:
    """Compiles what searches need, or loads what was compiled before: some seconds, or one."""
    rows, boxes, images = np.zeros(1, np.int64), np.zeros((1, 4), np.int32), np.zeros(1, np.int32)
    starts = np.arange(2)
    for array in (boxes, images, starts):
        array.flags.writeable = False
    halves, scores = np.zeros((1, 1), np.uint16), np.zeros(1, np.float32)
    arguments = (_SINGLES, rows, scores, 0, boxes, images, -np.inf, 1, True)
    rank(np.zeros(1), halves, *arguments)
    if AVAILABLE:
        no_file = -1
        read_and_rank(no_file, 0, np.zeros(1), *arguments)
    overlooked(rows, rows, boxes, images, starts, _IN_ORDER)
