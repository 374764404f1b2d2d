"""The versions of writes as shards see them: times of routers' clocks, not too far ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from patchsearch.errors import FailedPrecondition

CLOCK_SHIFT = 16
"""A version is `milliseconds since 1970 << 16`, and what tells versions of a millisecond apart."""

DEFAULT_AHEAD_S = 300.0


class VersionLimit:
    """Refuses writes whose version is too far ahead of this shard's clock. Thread-safe.

    The highest version wins for good, so one write of a router whose clock is a year ahead would
    keep an image from every other one for a year. What replicas take from each other is not
    checked: it was accepted where it was written.
    """

    def __init__(
        self, ahead_s: float = DEFAULT_AHEAD_S, now_s: Callable[[], float] = time.time
    ) -> None:
        self._ahead_s = ahead_s
        self._now_s = now_s

    def check(self, versions: Iterable[int]) -> None:
        """Raises FailedPrecondition VERSION_TOO_FAR_AHEAD."""
        highest = max(versions, default=0)
        ahead_s = (highest >> CLOCK_SHIFT) / 1000 - self._now_s()
        if ahead_s <= self._ahead_s:
            return
        raise FailedPrecondition(
            "VERSION_TOO_FAR_AHEAD",
            f"the write's version is {ahead_s:.0f} s ahead of this shard's clock; the limit is "
            f"{self._ahead_s:g} s (--max-clock-ahead-s): nothing was written; set the clocks of "
            "routers and shards (NTP), and write again",
            metadata={"ahead_s": f"{ahead_s:.0f}", "limit_s": f"{self._ahead_s:g}"},
        )
