"""Which calls are let in: none before the server is warm or while it drains; no endless queue."""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from patchsearch.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Phase(enum.Enum):
    """Where a server is in its life."""

    STARTING = "starting; it serves once it is warm"
    SERVING = "serving"
    DRAINING = "stopping; another server, or this one restarted, will answer"


class Gate:
    """Counts the calls being served, turns away those that come at a wrong time. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._phase = Phase.STARTING
        self._running = 0

    @property
    def phase(self) -> Phase:
        return self._phase

    def move_to(self, phase: Phase) -> None:
        """Calls that are let in from now on are let in under `phase`."""
        with self._changed:
            self._phase = phase

    def enter(self) -> None:
        """Counts a call in. Raises Unavailable (NOT_READY) unless the server is serving."""
        with self._changed:
            if self._phase is not Phase.SERVING:
                raise Unavailable(
                    "NOT_READY", f"this server is {self._phase.value}; try again shortly"
                )
            self._running += 1

    def leave(self) -> None:
        """Counts a call out that `enter` counted in."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until no call is running; False when `timeout_s` seconds passed before that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout_s)


class WorkerPool(ThreadPoolExecutor):
    """A thread pool that knows how many calls it holds, and how long they wait. Thread-safe.

    A queue that is bounded by its length alone serves nobody when it is full: every call has waited
    so long by its turn that its caller has given up. So `max_wait_s` bounds the wait as well (after
    Nichols and Jacobson, "Controlling Queue Delay", 2012).
    """

    def __init__(self, workers: int, max_waiting: int, max_wait_s: float) -> None:
        super().__init__(max_workers=workers, thread_name_prefix="call")
        self._workers = workers
        self._limit = workers + max_waiting
        self._max_wait_s = max_wait_s
        self._waiting_since: deque[float] = deque()
        self._held = 0
        self._count = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether one more call would wait longer than anybody should."""
        if self._held <= self._workers:
            return False
        if self._held >= self._limit:
            return True
        try:
            oldest = self._waiting_since[0]
        except IndexError:  # taken a moment ago
            return False
        return time.monotonic() - oldest > self._max_wait_s

    @property
    def waiting(self) -> int:
        """Calls that no worker has taken yet."""
        return len(self._waiting_since)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def taken() -> T:
            # Calls are taken in the order in which they came.
            self._waiting_since.popleft()
            return fn(*args, **kwargs)

        with self._count:
            self._held += 1
            self._waiting_since.append(time.monotonic())
        try:
            future = super().submit(taken)
        except RuntimeError:
            self._waiting_since.pop()
            self._done()
            raise
        future.add_done_callback(lambda _: self._done())
        return future

    def _done(self) -> None:
        with self._count:
            self._held -= 1
