"""How much one caller may ask for: calls a second, and side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from patchsearch.errors import ResourceExhausted
from service_runtime.token_file import Quota

_BUSY_RETRY_S = 1.0


class Meter:
    """Counts the calls of one token at this server. Thread-safe.

    A token bucket: it holds `burst` calls (by default a second's worth, at least one) and fills at
    `rate` a second. Quotas are per server: behind three routers a caller can have three times it.
    """

    def __init__(
        self, name: str, quota: Quota, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.quota = quota
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._size = float(quota.burst or max(1.0, quota.rate or 1.0))
        self._level = self._size
        self._filled_at = clock()

    def spend(self) -> None:
        """Takes one call; raises ResourceExhausted QUOTA_EXCEEDED, with the time until the next."""
        rate = self.quota.rate
        if rate is None:
            return
        with self._lock:
            now = self._clock()
            self._level = min(self._size, self._level + (now - self._filled_at) * rate)
            self._filled_at = now
            if self._level >= 1:
                self._level -= 1
                return
            wait_s = (1 - self._level) / rate
        raise ResourceExhausted(
            "QUOTA_EXCEEDED",
            f"token {self._name} may make {rate:g} calls a second, {self._size:g} at once; come "
            f"back in {wait_s:.2f} s, or ask the operator for more",
            retry_after_s=wait_s,
            metadata={"token": self._name, "quota": "rate"},
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """While one call runs; raises ResourceExhausted QUOTA_EXCEEDED when too many do."""
        limit = self.quota.concurrency
        with self._lock:
            if limit is not None and self._running >= limit:
                raise ResourceExhausted(
                    "QUOTA_EXCEEDED",
                    f"token {self._name} may have {limit} calls running; wait for one to end, or "
                    "ask the operator for more",
                    retry_after_s=_BUSY_RETRY_S,
                    metadata={"token": self._name, "quota": "concurrency"},
                )
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
