"""Where candidates come from: each segment gives more of them whenever it is asked again."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shard_service.search.query import PartitionQuery, Share
from shard_service.segments.row_table import Segment
from shard_service.segments.selection import Selection

FLOAT32_ERROR = 1e-4
"""No float32 inner product of two unit vectors is off by more: summing d products errs by at most
d * 2**-24 * sum |q_i x_i| (Higham, "Accuracy and Stability", section 3.1), 3.2e-5 at 512-d."""

# From this share of the rows on, reading all of them is faster than a beam that wide.
_SCAN_SHARE = 8
# A scan reads all rows anyway: taking more than was asked for saves the rounds of dedup.
_SCAN_OVERSAMPLE, _SCAN_LEAST = 4, 64


class CandidateSource:
    """The candidates of one segment for one query, growing round by round.

    `bound` after a round: no row that is selected and was not given scores that high, exactly, as
    far as the index knows; -inf when none is left; +inf when the index has told all that it was
    asked for and promises nothing about the rest. `read` counts the rows whose vectors were
    compared. Not thread-safe.
    """

    def __init__(
        self, segment: Segment, selection: Selection, query: PartitionQuery, share: Share
    ) -> None:
        self.bound = np.inf
        self.read = 0
        self._segment = segment
        self._selection = selection
        self._query = query
        self._share = share
        self._scans = query.exact or selection.count == 0

    def more(self, count: int) -> NDArray[np.int64]:
        """The best `count` or more of the selected rows, each once; some may have been given."""
        if self._selection.count == 0:
            self.bound = -np.inf
            return np.empty(0, np.int64)
        rows = None if self._scans else self._nearest(count)
        if rows is None:
            self._scans = True
            rows = self._best_of_all(count)
        return rows

    def _nearest(self, count: int) -> NDArray[np.int64] | None:
        query = self._query
        of_all = math.ceil(count * self._share.spread)
        wanted = self._segment.candidates(of_all)
        if wanted and query.oversample is not None:
            wanted = math.ceil(of_all * query.oversample)
        wanted = self._share.candidates(wanted)
        if not 0 < wanted * _SCAN_SHARE < self._selection.count:
            return None
        rows = self._segment.nearest(query.vector, wanted, self._selection, query.ef, query.nprobe)
        if rows is not None:
            self.read = max(self.read, len(rows))
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
        return rows
