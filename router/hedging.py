"""When a call is asked of a second replica, and how often that may happen."""

from __future__ import annotations

import threading

FIRST_DELAY_S = 0.1
"""Before enough calls were seen."""
LEAST_DELAY_S = 0.002
RESERVE = 5.0
"""Hedges that are kept for calls which take far longer than is usual."""
FAR = 2.5
"""Times the delay after which a call takes far longer."""
_LEAST_PATIENCE_S = 0.3
_PATIENCE = 10.0
_WINDOW = 512
_EVERY = 32
_QUANTILE = 0.95


class RecentQuantile:
    """The 95th percentile of the last 512 observations, in seconds. Not thread-safe.

    Computed anew every 32 observations, so that each costs next to nothing.
    """

    def __init__(self) -> None:
        self._ring: list[float] = []
        self._next = 0
        self._until_computed = _EVERY
        self._value: float | None = None

    @property
    def value(self) -> float | None:
        """The estimate; None before the first 32 observations."""
        return self._value

    def observe(self, seconds: float) -> None:
        """Takes one observation, in place of the oldest."""
        if len(self._ring) < _WINDOW:
            self._ring.append(seconds)
        else:
            self._ring[self._next] = seconds
            self._next = (self._next + 1) % _WINDOW
        self._until_computed -= 1
        if self._until_computed == 0:
            self._until_computed = _EVERY
            ordered = sorted(self._ring)
            self._value = ordered[int(_QUANTILE * (len(ordered) - 1))]


class TokenBucket:
    """Lets a share of calls be made twice. Not thread-safe.

    Every call puts `share` of a token in, every extra one takes a token out; `burst` tokens are
    there at first, and never more.
    """

    def __init__(self, share: float, burst: float) -> None:
        self._share = share
        self._burst = burst
        self._tokens = burst

    def earn(self) -> None:
        """Counts a call."""
        self._tokens = min(self._burst, self._tokens + self._share)

    def spend(self, keep: float = 0.0) -> bool:
        """Whether an extra call may be made that leaves `keep` tokens; it is counted then."""
        if self._tokens < 1.0 + keep:
            return False
        self._tokens -= 1.0
        return True


class Hedging:
    """Delay and budget of hedges, over the calls to all shards. Thread-safe.

    One estimate for all of them: what a slow shard is compared with is what calls take elsewhere.
    A call that was given up counts with the time it was waited for, or else the estimate would
    forget every slow call and fall. Dean and Barroso, "The Tail at Scale" (2013).
    """

    def __init__(self, share: float, burst: float = 10.0) -> None:
        """`share` of all calls, 0 to 1, may be hedges; 0 for none."""
        self._enabled = share > 0
        self._lock = threading.Lock()
        self._quantile = RecentQuantile()
        self._budget = TokenBucket(share, burst)

    @property
    def delay_s(self) -> float | None:
        """Seconds after which a call is asked elsewhere too; None where it never is."""
        if not self._enabled:
            return None
        return max(LEAST_DELAY_S, self._quantile.value or FIRST_DELAY_S)

    @property
    def patience_s(self) -> float:
        """Seconds after which a call counts as failed: ten times what is slow, 0.3 at least."""
        return max(_LEAST_PATIENCE_S, _PATIENCE * (self._quantile.value or FIRST_DELAY_S))

    def called(self) -> None:
        """A call begins that is no hedge."""
        with self._lock:
            self._budget.earn()

    def ended(self, seconds: float) -> None:
        """A call was answered, or given up, after this time."""
        with self._lock:
            self._quantile.observe(seconds)

    def far(self, seconds: float) -> bool:
        """Whether a call that was waited for so long takes far longer than is usual."""
        delay_s = self.delay_s
        return delay_s is not None and seconds >= FAR * delay_s

    def allow(self, waited_s: float = 0.0) -> bool:
        """Whether one more hedge is within the budget, after a wait; it is counted then.

        One call in twenty is slow for no reason. Hedging those must not use up what is needed when
        a shard stops: the last ones are for calls that take far longer.
        """
        keep = 0.0 if self.far(waited_s) else RESERVE
        with self._lock:
            return self._enabled and self._budget.spend(keep)
