"""Counts calls, so that whoever closes what they use can let them end."""

from __future__ import annotations

import threading
from types import TracebackType


class CallsUnderWay:
    """Use it as a context manager around each call. Thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._running = 0

    def __enter__(self) -> None:
        with self._condition:
            self._running += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._condition:
            self._running -= 1
            if self._running == 0:
                self._condition.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Waits until no call runs; False where some still do after that time."""
        with self._condition:
            return self._condition.wait_for(lambda: self._running == 0, seconds)
