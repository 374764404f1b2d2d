"""The answers to the latest filters, as long as nothing is written."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter


class RecentMatches:
    """Keeps what the last few filters matched as of one commit. Thread-safe."""

    def __init__(self, capacity: int = 16) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._commits = -1
        self._matches: OrderedDict[Filter, NDArray[np.int64]] = OrderedDict()

    def get(self, commits: int, filter: Filter) -> NDArray[np.int64] | None:
        """What was put for this filter as of this commit; None when it is not there."""
        with self._lock:
            if commits != self._commits:
                return None
            found = self._matches.get(filter)
            if found is not None:
                self._matches.move_to_end(filter)
            return found

    def put(self, commits: int, filter: Filter, matches: NDArray[np.int64]) -> None:
        """Keeps `matches`, and drops those of older commits."""
        with self._lock:
            # A reader that took long may come with an answer that is out of date.
            if commits < self._commits:
                return
            if commits > self._commits:
                self._commits = commits
                self._matches.clear()
            self._matches[filter] = matches
            if len(self._matches) > self._capacity:
                self._matches.popitem(last=False)
