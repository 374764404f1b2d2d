"""One caller's patience: until when, and whether it is still there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from patchsearch.errors import DeadlineExceeded

T = TypeVar("T")


class Call:
    """A call in progress: work asks `gone` before it starts, `wait` ends with the caller's time.

    `deadline` is in seconds of `time.monotonic`. Thread-safe.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._lock = threading.Lock()
        self._cancelled = False
        self._waited_for: list[Future[Any]] = []

    @classmethod
    def lasting(cls, seconds: float) -> Self:
        """A call that has this much time from now."""
        return cls(time.monotonic() + seconds)

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancelled or time.monotonic() >= self._deadline

    def cancel(self) -> None:
        """Says that the caller has left, and ends every `wait`."""
        with self._lock:
            self._cancelled = True
            futures, self._waited_for = self._waited_for, []
        for future in futures:
            future.cancel()

    def check(self) -> None:
        """Raises `DeadlineExceeded` when nobody waits for the answer any more."""
        if self.gone:
            raise _left()

    def wait(self, future: Future[T]) -> T:
        """The future's result. Raises what the future raised, or `DeadlineExceeded` when time is up
        or the caller has left; the future is cancelled then.

        A task that a pool has begun runs to its end; one that polls `check` ends sooner.
        """
        with self._lock:
            self._waited_for.append(future)
            cancelled = self._cancelled
        if cancelled:
            future.cancel()
        try:
            return future.result(max(self._deadline - time.monotonic(), 0.0))
        except CancelledError as error:
            raise _left() from error
        except TimeoutError as error:
            if future.cancel() or not future.done():
                raise _left() from error
            return future.result()

    def attempt(self, work: Callable[[], T]) -> Callable[[], T]:
        """The work for a pool: not begun when the caller has left by the time its turn comes."""

        def begin() -> T:
            self.check()
            return work()

        return begin


def _left() -> DeadlineExceeded:
    return DeadlineExceeded(
        "DEADLINE_EXCEEDED", "the call's time ran out, or its caller left, before it was answered"
    )
