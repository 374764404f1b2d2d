"""How many photos may be in work at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from patchsearch.errors import ResourceExhausted

_RETRY_S = 0.5


class PhotoSlots:
    """At most `most` photos at a time, so that they never take all of the server's workers from
    queries. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Surrounds the work on one photo; raises `ResourceExhausted` (OVERLOADED), never waits."""
        if not self._free.acquire(blocking=False):
            raise ResourceExhausted(
                "OVERLOADED",
                f"{self._most} photos are in work, which is the limit; come back later, or send "
                "fewer at a time",
                retry_after_s=_RETRY_S,
            )
        try:
            yield
        finally:
            self._free.release()
