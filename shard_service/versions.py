"""The versions of writes as shards see them: times of routers' clocks, not too far ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from patchsearch.errors import FailedPrecondition

CLOCK_SHIFT = 16
"""A version is `milliseconds since 1970 << 16`, and what tells versions of a millisecond apart."""

DEFAULT_AHEAD_S = 300.0


LEAD_LOST = 0.001
"""The share of the time passed by which `VersionWatch.newest` falls behind; as for routers' clocks.
"""


class VersionWatch:
    """What writes tell of routers' clocks: none may be too far ahead. Thread-safe.

    The highest version wins for good, so one write of a router whose clock is a year ahead would
    keep an image from every other one for a year. What replicas take from each other is not
    checked: it was accepted where it was written.
    """

    def __init__(
        self,
        ahead_s: float = DEFAULT_AHEAD_S,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ahead_s = ahead_s
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._seen = 0
        self._seen_at_s = 0.0

    def newest(self, stored: int) -> int:
        """The version that a router would give a write now, as far as the writes tell that came
        here; at least `stored`.

        It runs on from the one that was furthest ahead when it came. So routers whose clocks follow
        it are behind the one furthest ahead by what a write takes to get here, however long ago
        that one wrote.
        """
        with self._lock:
            return max(stored, self._by(self._monotonic_s()))

    def check(self, versions: Iterable[int]) -> None:
        """Takes note of the versions of a write; raises FailedPrecondition VERSION_TOO_FAR_AHEAD,
        and forgets them then."""
        highest = max(versions, default=0)
        ahead_s = (highest >> CLOCK_SHIFT) / 1000 - self._now_s()
        if ahead_s <= self._ahead_s:
            now_s = self._monotonic_s()
            with self._lock:
                if highest > self._by(now_s):
                    self._seen, self._seen_at_s = highest, now_s
            return
        raise FailedPrecondition(
            "VERSION_TOO_FAR_AHEAD",
            f"the write's version is {ahead_s:.0f} s ahead of this shard's clock; the limit is "
            f"{self._ahead_s:g} s (--max-clock-ahead-s): nothing was written; set the clocks of "
            "routers and shards (NTP), and write again",
            metadata={"ahead_s": f"{ahead_s:.0f}", "limit_s": f"{self._ahead_s:g}"},
        )

    def _by(self, now_s: float) -> int:
        passed_ms = (now_s - self._seen_at_s) * (1 - LEAD_LOST) * 1000
        return self._seen + (int(passed_ms) << CLOCK_SHIFT) if self._seen else 0
