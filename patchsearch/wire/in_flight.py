"""How many searches a client has under way at once while servers refuse some of them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from patchsearch.errors import ResourceExhausted

_SHRINK = 0.7
_RETRY_AFTER_S = 0.1


class InFlightLimit:
    """Holds calls back while the servers are OVERLOADED. Thread-safe.

    To refuse a call costs a server about as much as to receive it: a cluster that is asked for ten
    times what it can do has no time left for answers, unless its callers ask less. So there is no
    limit until a call is refused with OVERLOADED; then it is 0.7 of what was under way, and again
    for every refusal of a call that began after the last cut, down to one. Every answer raises it
    by one over itself, one for a whole round of calls (additive increase and multiplicative
    decrease: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
    Avoidance in Computer Networks", 1989).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit = math.inf
        self._under_way = 0
        self._cut_at = -math.inf

    @contextmanager
    def held(self) -> Iterator[None]:
        """Around one call. Raises ResourceExhausted OVERLOADED where there is no room for it."""
        began = self._enter()
        try:
            yield
        except BaseException as error:
            refused = isinstance(error, ResourceExhausted) and error.reason == "OVERLOADED"
            self._leave(began if refused else None, 0.0)
            raise
        self._leave(None, 1.0)

    def _enter(self) -> float:
        with self._lock:
            if self._under_way >= self._limit:
                raise ResourceExhausted(
                    "OVERLOADED",
                    f"the servers refuse searches for want of time, and {self._under_way} are under"
                    " way: this one was not sent; ask again later, or ask less at once",
                    retry_after_s=_RETRY_AFTER_S,
                )
            self._under_way += 1
            return time.monotonic()

    def _leave(self, refused_since: float | None, answers: float) -> None:
        with self._lock:
            if refused_since is not None and refused_since > self._cut_at:
                self._limit = max(1.0, min(self._limit, self._under_way) * _SHRINK)
                self._cut_at = time.monotonic()
            self._under_way -= 1
            self._limit += answers / self._limit
