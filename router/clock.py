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


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class HybridLogicalClock:
    """Makes versions that grow with every call and follow the wall clock.

    A version is `milliseconds since 1970 << 16 | counter << 8 | router`, below 2**64. It is never
    behind the wall clock, nor behind what was observed, and keeps growing while the wall clock
    stands still or is set back. Kulkarni et al., "Logical Physical Clocks" (2014); what is received
    are the versions that shards have stored. Thread-safe.
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
        ahead_ms = milliseconds_of(version) - self._wall_clock_ms()
        if ahead_ms > self._ahead_ms:
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
        with self._lock:
            self._last = max(self._last, version)

    def first_version(self, version: int) -> int | None:
        """The version that the same write of this clock got at first; None for another router's.

        It tells the order in which writes came to this router. The last 32 768 are remembered: a
        write is compared with those that came while it was under way.
        """
        return self._own.get(version)

    def _next(self) -> int:
        # A full counter carries over into the milliseconds: still monotone, a moment ahead.
        least = max(self._last + _STEP, self._wall_clock_ms() * _MILLISECOND)
        self._last = least // _STEP * _STEP + self._router
        return self._last

    def _remember(self, version: int, first: int) -> None:
        self._own[version] = first
        if len(self._own) > REMEMBERED:
            del self._own[next(iter(self._own))]


def milliseconds_of(version: int) -> int:
    """Milliseconds since 1970 at which a version was made."""
    return version // _MILLISECOND
