"""Many may read at a time; now and then one may have the environment to itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class ReadGate:
    """A readers-writer gate: LMDB's map can grow, or be reopened, only while no transaction runs.

    Use the gate itself as a context manager for shared passage, `alone()` for exclusive passage.
    Who waits to be alone goes first, so a stream of readers cannot starve it. Not reentrant.
    Thread-safe.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._waiting_alone = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._condition:
            while self._waiting_alone or self._closed:
                self._condition.wait()
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._condition:
            self._inside -= 1
            if self._inside == 0:
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until nobody is inside and keeps everybody out."""
        with self._condition:
            self._waiting_alone += 1
            while self._inside or self._closed:
                self._condition.wait()
            self._waiting_alone -= 1
            self._closed = True
        try:
            yield
        finally:
            with self._condition:
                self._closed = False
                self._condition.notify_all()
