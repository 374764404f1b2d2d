"""The thread that seals in the background: on request, and again after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from patchsearch.errors import PatchsearchError, Unavailable
from service_runtime.logs import logger

_RETRY_S = 30.0
_SLOT_POLL_S = 0.2


class Sealer:
    """Runs `build` when asked, on a thread of its own, holding one of `slots` meanwhile.

    `build` seals what there is, gives up when the event it is given is set, and returns the number
    of patches. Thread-safe.
    """

    def __init__(
        self, name: str, build: Callable[[threading.Event], int], slots: threading.Semaphore
    ) -> None:
        self._build = build
        self._slots = slots
        self._log = logger("sealer").bind(partition=name)
        self._condition = threading.Condition()
        self._wanted = False
        self._asked = 0
        self._answered = 0
        self._not_before = 0.0
        self._sealed = 0
        self._failure: BaseException | None = None
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"seal-{name}", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> BaseException | None:
        """Why the last build failed; None after one that did not."""
        return self._failure

    def request(self) -> None:
        """Asks for a build, soon; after a failure not before a pause."""
        with self._condition:
            if not self._wanted:
                self._wanted = True
                self._condition.notify_all()

    def seal_now(self) -> int:
        """Asks for a build, waits, and returns the patches sealed meanwhile; raises its error.

        A build that runs already is waited for first.
        """
        with self._condition:
            before = self._sealed
            self._asked += 1
            mine = self._asked
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._answered >= mine or self.stop.is_set())
            if self.stop.is_set():
                raise Unavailable("NOT_READY", "the partition is closing; try another replica")
            if self._failure is not None:
                raise self._failure
            return self._sealed - before

    def close(self) -> None:
        """Gives up a running build and ends the thread."""
        self.stop.set()
        with self._condition:
            self._condition.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (asked := self._next()) is not None:
            while not self._slots.acquire(timeout=_SLOT_POLL_S):
                if self.stop.is_set():
                    return
            sealed, failure = 0, None
            try:
                sealed = self._build(self.stop)
            except Exception as error:
                failure = error
                if not self.stop.is_set():
                    expected = isinstance(error, (PatchsearchError, OSError))
                    self._log.error(
                        "sealing failed; the patches stay exactly searched",
                        error=str(error),
                        exc_info=None if expected else error,
                    )
            finally:
                self._slots.release()
            with self._condition:
                self._failure = failure
                self._sealed += sealed
                self._answered = asked
                if failure is not None:
                    self._wanted = True
                    self._not_before = time.monotonic() + _RETRY_S
                self._condition.notify_all()

    def _next(self) -> int | None:
        """Waits for a request; the calls of `seal_now` that it answers, None at the end."""
        with self._condition:
            while not self.stop.is_set():
                pause = self._not_before - time.monotonic() if self._wanted else None
                if self._asked > self._answered or (pause is not None and pause <= 0):
                    self._wanted = False
                    return self._asked
                self._condition.wait(pause)
        return None
