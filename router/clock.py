"""The versions of writes: a hybrid logical clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

COUNTER_BITS = 16


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class HybridLogicalClock:
    """Makes versions that grow with every call and follow the wall clock.

    A version is `milliseconds since 1970 << 16 | counter`, below 2**64. It is never behind the wall
    clock, and keeps growing while that stands still or is set back. Kulkarni et al., "Logical
    Physical Clocks" (2014), without the receiving half: only routers make versions. Thread-safe.
    """

    def __init__(self, wall_clock_ms: Callable[[], int] = _wall_clock_ms) -> None:
        self._wall_clock_ms = wall_clock_ms
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        """The next version, higher than every one before it."""
        with self._lock:
            # A full counter carries over into the milliseconds: still monotone, a moment ahead.
            self._last = max(self._last + 1, self._wall_clock_ms() << COUNTER_BITS)
            return self._last


def milliseconds_of(version: int) -> int:
    """Milliseconds since 1970 at which a version was made."""
    return version >> COUNTER_BITS
