"""The versions of writes: a hybrid logical clock."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from patchsearch.errors import FailedPrecondition

_MILLISECOND = 1 << 16
_STEP = 1 << 8
ROUTERS = _STEP
"""Routers that versions tell apart."""
DEFAULT_AHEAD_S = 300.0
"""How far ahead of the wall clock a version may be that own ones are made newer than."""
REMEMBERED = 32_768
"""Own versions that a clock remembers."""
LEAD_LOST = 0.001
"""The share of the time passed by which a clock comes closer again to the wall clock: more than NTP
slews a clock by (0.0005), so that the jitter of many clocks does not add up."""


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class HybridLogicalClock:
    """Makes versions that grow with every call and follow the wall clock.

    A version is `milliseconds since 1970 << 16 | counter << 8 | router`, below 2**64. It is never
    behind the wall clock, nor behind what was observed, and keeps growing while the wall clock
    stands still or is set back. Kulkarni et al., "Logical Physical Clocks" (2014); what is received
    are the versions that shards have stored. Beyond the paper, the clock runs on from what it
    received: routers agree on the time of the one that is furthest ahead, so that of two writes
    that meet no common replica the later one has the higher version. What is not received again is
    forgotten slowly (`LEAD_LOST`). Thread-safe.
    """

    def __init__(
        self,
        wall_clock_ms: Callable[[], int] = _wall_clock_ms,
        router: int | None = None,
        ahead_s: float = DEFAULT_AHEAD_S,
    ) -> None:
        """`router` is 0 to 255, drawn where it is None: two routers that write in one moment must
        not make the same version of two things, which replicas could not tell apart. Versions over
        `ahead_s` seconds ahead of the wall clock are not learned: shards would refuse newer ones.
        """
        self._wall_clock_ms = wall_clock_ms
        self._ahead_ms = int(ahead_s * 1000)
        self._router = secrets.randbelow(ROUTERS) if router is None else router
        self._last = 0
        self._lead_ms = 0.0
        self._led_at_ms = 0
        self._lock = threading.Lock()
        self._own: dict[int, int] = {}

    def now(self) -> int:
        """The next version, higher than every one before it."""
        with self._lock:
            version = self._next()
            self._remember(version, version)
            return version

    def again(self, first: int) -> int:
        """A newer version for a write that got the version `first` at first, and was overtaken by
        another router's."""
        with self._lock:
            version = self._next()
            self._remember(version, first)
            return version

    def observe(self, version: int) -> None:
        """Another router made this version: own ones are higher from now on.

        Raises FailedPrecondition VERSION_TOO_FAR_AHEAD for one that is too far ahead of the wall
        clock, and leaves it alone: else a single write of version 2**64 - 1 would take all versions
        from every router that meets it.
        """
        if not self.follow(version):
            ahead_ms = milliseconds_of(version) - self._wall_clock_ms()
            raise FailedPrecondition(
                "VERSION_TOO_FAR_AHEAD",
                f"what is stored has a version {ahead_ms / 1000:.0f} s ahead of this router's "
                f"clock, and wins until then; the limit is {self._ahead_ms / 1000:g} s "
                "(--max-clock-ahead-s): set the clocks of routers and shards (NTP); write again",
                metadata={
                    "ahead_s": f"{ahead_ms / 1000:.0f}",
                    "limit_s": f"{self._ahead_ms / 1000:g}",
                },
            )

    def follow(self, version: int) -> bool:
        """Like `observe`, of anything that is stored; False for what is too far ahead."""
        now_ms = self._wall_clock_ms()
        ahead_ms = milliseconds_of(version) - now_ms
        if ahead_ms > self._ahead_ms:
            return False
        with self._lock:
            self._last = max(self._last, version)
            if ahead_ms > self._lead_at(now_ms):
                self._lead_ms, self._led_at_ms = ahead_ms, now_ms
        return True

    def first_version(self, version: int) -> int | None:
        """The version that the same write of this clock got at first; None for another router's.

        It tells the order in which writes came to this router. The last 32 768 are remembered: a
        write is compared with those that came while it was under way.
        """
        return self._own.get(version)

    def _next(self) -> int:
        # A full counter carries over into the milliseconds: still monotone, a moment ahead.
        wall_ms = self._wall_clock_ms()
        now_ms = wall_ms + round(self._lead_at(wall_ms))
        least = max(self._last + _STEP, now_ms * _MILLISECOND)
        self._last = least // _STEP * _STEP + self._router
        return self._last

    def _lead_at(self, wall_ms: int) -> float:
        """Milliseconds by which this clock is ahead of the wall clock."""
        return max(0.0, self._lead_ms - LEAD_LOST * max(0, wall_ms - self._led_at_ms))

    def _remember(self, version: int, first: int) -> None:
        self._own[version] = first
        if len(self._own) > REMEMBERED:
            del self._own[next(iter(self._own))]


def milliseconds_of(version: int) -> int:
    """Milliseconds since 1970 at which a version was made."""
    return version // _MILLISECOND
