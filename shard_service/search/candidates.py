"""Where candidates come from: each segment gives more of them whenever it is asked again."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shard_service.search.query import PartitionQuery
from shard_service.search.scoring import FLOAT32_ERROR
from shard_service.segments.row_table import Segment
from shard_service.segments.selection import Selection

# From this share of the rows on, reading all of them is faster than a beam that wide.
_SCAN_SHARE = 8
# A scan reads all rows anyway: taking more than was asked for saves the rounds of dedup.
_SCAN_OVERSAMPLE, _SCAN_LEAST = 4, 64
# Stored vectors are of unit length up to float16 rounding, so a distance tells the cosine so well.
_DISTANCE_ERROR = 1e-3


class CandidateSource:
    """The candidates of one segment for one query, growing round by round.

    `bound` after a round: no row that is selected and was not given scores that high, exactly, as
    far as the index knows; -inf when none is left; +inf when the index has told all that it was
    asked for and promises nothing about the rest. `read` counts the rows whose vectors were
    compared. Not thread-safe.
    """

    def __init__(self, segment: Segment, selection: Selection, query: PartitionQuery) -> None:
        self.bound = np.inf
        self.read = 0
        self._segment = segment
        self._selection = selection
        self._query = query
        self._given = np.empty(0, np.int64)
        self._waiting = np.empty(0, np.int64)
        self._distances = np.empty(0, np.float32)
        self._scans = query.exact or selection.count == 0

    def more(self, count: int) -> NDArray[np.int64]:
        """The rows not given yet of the best `count` or more, selected ones only."""
        if self._selection.count == 0:
            self.bound = -np.inf
            return self._waiting
        if len(self._waiting) == 0 and not self._scans:
            self._ask(count)
        rows = self._best_of_all(count) if self._scans else self._next(count)
        self._given = np.concatenate((self._given, rows))
        return rows

    def add(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Notes `rows` as given from elsewhere; returns those that were not given before."""
        fresh = np.setdiff1d(rows, self._given)
        self._given = np.concatenate((self._given, fresh))
        return fresh

    def _ask(self, count: int) -> None:
        query = self._query
        wanted = self._segment.candidates(count)
        if wanted and query.oversample is not None:
            wanted = math.ceil(count * query.oversample)
        found = None
        if 0 < wanted * _SCAN_SHARE < self._selection.count:
            found = self._segment.nearest(
                query.vector, wanted, self._selection, query.ef, query.nprobe
            )
        if found is None:
            self._scans = True
            return
        self.read = max(self.read, len(found[0]))
        self._waiting, self._distances = found
        if len(self._given):
            fresh = ~np.isin(found[0], self._given)
            self._waiting, self._distances = found[0][fresh], found[1][fresh]

    def _next(self, count: int) -> NDArray[np.int64]:
        # What the index found is in order already. Without dedup little more than `count` is
        # needed of it; with dedup nobody knows, and a second round costs more than the rest.
        waiting = self._waiting
        take = count + count // 2 + 8 if self._query.keep_overlapping else len(waiting)
        rows, self._waiting = waiting[:take], waiting[take:]
        self._distances = self._distances[take:]
        if len(self._waiting):
            self.bound = 1.0 - float(self._distances[0]) / 2 + _DISTANCE_ERROR
        else:
            self.bound = np.inf
        return rows

    def _best_of_all(self, count: int) -> NDArray[np.int64]:
        wanted = max(count * _SCAN_OVERSAMPLE, _SCAN_LEAST)
        rows, scores = self._segment.best(self._query.vector, wanted, self._selection)
        self.read = max(self.read, self._selection.count)
        if len(rows) < wanted:
            self.bound = -np.inf
        else:
            # Rows that were left out have no larger float32 product than the last one given.
            self.bound = float(scores[-1]) + 2 * FLOAT32_ERROR
        return rows[~np.isin(rows, self._given)] if len(self._given) else rows
