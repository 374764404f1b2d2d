"""Searches come before ingest when there is not enough for both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from patchsearch.errors import ResourceExhausted
from router.call_scope import CallScope
from router.metrics import RouterMetrics

_HOLD_S = 0.5
"""Longest that one image waits for searches: ingest gets slow, and never stands still."""
_RETRY_AFTER_S = 1.0


class SearchPressure:
    """Counts the searches under way. Thread-safe.

    Streams keep a worker of the server busy for all their lives, so they get half of the workers at
    most. While searches keep the other half busy, new streams are refused, and the images of those
    that are open are held back.
    """

    def __init__(self, workers: int, metrics: RouterMetrics) -> None:
        self._max_streams = max(1, workers // 2)
        self._most_searches = max(1, workers - self._max_streams)
        self._metrics = metrics
        self._changed = threading.Condition()
        self._searches = 0
        self._streams = 0

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Surrounds a search."""
        with self._changed:
            self._searches += 1
        try:
            yield
        finally:
            with self._changed:
                self._searches -= 1
                if self._searches == self._most_searches - 1:
                    self._changed.notify_all()

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Surrounds an ingest stream, or the one photo of a call that is as costly; raises
        ResourceExhausted OVERLOADED where it has no place."""
        with self._changed:
            problem = self._no_place()
            if not problem:
                self._streams += 1
        if problem:
            self._metrics.shed_ingest()
            raise ResourceExhausted("OVERLOADED", problem, retry_after_s=_RETRY_AFTER_S)
        try:
            yield
        finally:
            with self._changed:
                self._streams -= 1

    def hold_image(self, scope: CallScope) -> None:
        """Lets searches go first, for up to half a second; returns at once when there is room."""
        if self._searches < self._most_searches:
            return
        self._metrics.shed_ingest()
        with self._changed:
            self._changed.wait_for(
                lambda: self._searches < self._most_searches or scope.cancelled, _HOLD_S
            )

    def _no_place(self) -> str:
        if self._streams >= self._max_streams:
            return (
                f"{self._max_streams} ingest streams are open, the most this router serves; come "
                "back later, or send more images in one stream"
            )
        if self._searches >= self._most_searches:
            return "searches keep this router busy, and they come first; come back later"
        return ""
