"""Newer placements for calls that cannot wait for them in their own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from placement.document import Placement
from placement.watch import PlacementWatch

_AT_A_TIME = 4


class Reloads:
    """Loads placements in the background. Thread-safe.

    A store that hangs, or shards that a new placement has to be prepared with, hold up these
    threads and no search.
    """

    def __init__(self, placements: PlacementWatch) -> None:
        self._placements = placements
        self._threads = ThreadPoolExecutor(_AT_A_TIME, "reload")

    @property
    def current(self) -> Placement:
        """The placement in force."""
        return self._placements.current

    def ask(self, min_epoch: int, timeout_s: float, done: Callable[[Placement], None]) -> None:
        """Calls `done` with the placement in force once that is of `min_epoch` or later, or the
        time is over; at once, in this thread, where it is already."""
        current = self._placements.current
        if current.epoch >= min_epoch:
            done(current)
            return
        self._threads.submit(lambda: done(self._placements.reload(min_epoch, timeout_s)))

    def close(self) -> None:
        """Ends it; what was asked is not answered any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
