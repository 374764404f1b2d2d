"""Where candidates come from: each segment gives more of them whenever it is asked again."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shard_service.search.scoring import FLOAT32_ERROR
from shard_service.segments.row_table import Segment

# From this share of the rows on, reading all of them is faster than a beam that wide.
_SCAN_SHARE = 8
# A scan knows all scores already: giving more than was asked for saves the rounds of dedup.
_SCAN_OVERSAMPLE = 4


class CandidateSource:
    """The candidates of one segment for one query, growing round by round.

    `bound` after a round: no live row that was not given scores that high, exactly; -inf when none
    is left; +inf while an index, which promises nothing, gave them. Not thread-safe.
    """

    def __init__(
        self,
        segment: Segment,
        query: NDArray[np.float32],
        *,
        exact: bool,
        oversample: float | None,
    ) -> None:
        self.bound = np.inf
        self.scanned = 0
        self._segment = segment
        self._query = query
        self._exact = exact
        self._oversample = segment.oversample if oversample is None else oversample
        self._given = np.empty(0, np.int64)
        self._scores: NDArray[np.float32] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether every live row was given."""
        return self.bound == -np.inf

    def more(self, count: int) -> NDArray[np.int64]:
        """The rows not given yet of the best `count` or more, live ones only, in no order."""
        rows = None
        if self._scores is None and not self._exact:
            wanted = math.ceil(count * self._oversample)
            if wanted * _SCAN_SHARE < self._segment.live_rows:
                rows = self._segment.nearest(self._query, wanted)
        if rows is None:
            rows = self._best_of_all(count * _SCAN_OVERSAMPLE)
        fresh = np.setdiff1d(rows, self._given, assume_unique=True)
        self._given = np.concatenate((self._given, fresh))
        return fresh

    def add(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Notes `rows` as given from elsewhere; returns those that were not given before."""
        fresh = np.setdiff1d(rows, self._given)
        self._given = np.concatenate((self._given, fresh))
        return fresh

    def _best_of_all(self, count: int) -> NDArray[np.int64]:
        if self._scores is None:
            self._scores = self._segment.scan(self._query)
            self.scanned = self._segment.live_rows
        scores = self._scores
        if count >= self._segment.live_rows:
            self.bound = -np.inf
            return np.flatnonzero(scores > -np.inf)
        least = float(np.partition(scores, len(scores) - count)[len(scores) - count])
        # At least `count` rows score `least - error` or more exactly, and every row that does is
        # among those that reach `least - 2 errors` in float32.
        self.bound = least - FLOAT32_ERROR
        return np.flatnonzero(scores >= least - 2 * FLOAT32_ERROR)
