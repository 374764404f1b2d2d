"""The thread that builds in the background: on request, when due, and again after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from patchsearch.errors import PatchsearchError, Unavailable
from service_runtime.logs import logger
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.maintenance.priority import yield_to_searches

_RETRY_S = 30.0
_SLOT_POLL_S = 0.2
_CHECKPOINT_S = 0.05

Work = Callable[[threading.Event], object]
_T = TypeVar("_T")


class _Asked:
    """Work that somebody waits for; `stop` is set when it is to end."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.future: Future[object] = Future()
        self.stop = threading.Event()


class Builder:
    """Runs one piece of work at a time on a thread of its own, holding one of `slots` meanwhile.
    The thread has a low priority.

    `routine` does what is due and returns whether there was anything; it runs after `request`,
    `idle_s` after the last request, and again `_RETRY_S` after a failure. Thread-safe.
    """

    def __init__(
        self,
        name: str,
        routine: Callable[[threading.Event, bool], bool],
        slots: threading.Semaphore,
        idle_s: float,
    ) -> None:
        self._routine = routine
        self._slots = slots
        self._idle_s = idle_s
        self._log = logger("builder").bind(partition=name)
        self._condition = threading.Condition()
        self._wanted = False
        self._idle_done = True
        self._last_touch = time.monotonic()
        self._not_before = 0.0
        self._asked: list[_Asked] = []
        self._running: _Asked | None = None
        self._failure: BaseException | None = None
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"build-{name}", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> BaseException | None:
        """Why the last routine failed; None after one that did not."""
        return self._failure

    def request(self) -> None:
        """Asks for the routine, soon; after a failure not before a pause."""
        with self._condition:
            if not self._wanted:
                self._wanted = True
                self._condition.notify_all()

    def touch(self) -> None:
        """Tells that something was written: the idle time begins anew."""
        self._last_touch = time.monotonic()
        if self._idle_done:
            with self._condition:
                self._idle_done = False
                self._condition.notify_all()

    def run(
        self,
        work: Callable[[threading.Event], _T],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> _T:
        """Runs `work` on the builder's thread, before anything that is due, and returns what it
        does; raises its error, or Unavailable NOT_READY when the partition closes.

        `checkpoint` is called before, and while it waits or runs, and may raise to give up: `work`
        finds its event set then, and has ended when that is raised here.
        """
        checkpoint()
        asked = _Asked(work)
        with self._condition:
            self._check_open()
            self._asked.append(asked)
            self._condition.notify_all()
        while not wait([asked.future], _CHECKPOINT_S).done:
            try:
                checkpoint()
            except BaseException:
                self._abandon(asked)
                # What was done all the same is not undone.
                if asked.future.cancelled() or asked.future.exception() is not None:
                    raise
        return asked.future.result()  # type: ignore[return-value]

    def give_up(self) -> None:
        """Tells what is running to end, and that nothing more begins."""
        with self._condition:
            self.stop.set()
            if self._running is not None:
                self._running.stop.set()
            self._condition.notify_all()

    def close(self) -> None:
        """Gives up what is running and ends the thread."""
        self.give_up()
        self._thread.join()
        with self._condition:
            for asked in self._asked:
                asked.future.set_exception(_closing())
            self._asked.clear()

    def _abandon(self, asked: _Asked) -> None:
        """Takes what waits out of the queue, or stops it and waits for its end."""
        with self._condition:
            if asked in self._asked:
                self._asked.remove(asked)
                asked.future.cancel()
                return
            asked.stop.set()
        wait([asked.future])

    def _check_open(self) -> None:
        if self.stop.is_set():
            raise _closing()

    def _run(self) -> None:
        yield_to_searches()
        while not self.stop.is_set():
            asked, idle = self._next()
            if self.stop.is_set() or not self._slot_for(asked):
                with self._condition:
                    if asked is not None and asked.stop.is_set():
                        asked.future.set_exception(_closing())
                    elif asked is not None:
                        # `close` answers who asked.
                        self._asked.insert(0, asked)
                continue
            try:
                if asked is None:
                    self._do_routine(idle)
                else:
                    self._do(asked)
            finally:
                self._slots.release()

    def _slot_for(self, asked: _Asked | None) -> bool:
        """Waits for a slot; False where the work is given up before there is one."""
        while not self._slots.acquire(timeout=_SLOT_POLL_S):
            if self.stop.is_set() or (asked is not None and asked.stop.is_set()):
                return False
        return True

    def _do(self, asked: _Asked) -> None:
        with self._condition:
            self._running = asked
            if self.stop.is_set():
                asked.stop.set()
        try:
            if asked.stop.is_set():
                raise _closing()
            done = asked.work(asked.stop)
            self._failure = None
            asked.future.set_result(done)
        except BaseException as error:
            asked.future.set_exception(error)
            if isinstance(error, OSError):
                with self._condition:
                    self._failure, self._wanted = error, True
                    self._not_before = time.monotonic() + _RETRY_S
        finally:
            with self._condition:
                self._running = None

    def _do_routine(self, idle: bool) -> None:
        try:
            more = self._routine(self.stop, idle)
            self._failure = None
        except Exception as error:
            more = True
            self._failure = error
            if not self.stop.is_set():
                expected = isinstance(error, (PatchsearchError, OSError))
                self._log.error(
                    "building failed; the patches are searched as before",
                    error=str(error),
                    exc_info=None if expected else error,
                )
        with self._condition:
            if self._failure is not None:
                self._not_before = time.monotonic() + _RETRY_S
            if more:
                self._wanted = True
            elif idle:
                self._idle_done = True

    def _next(self) -> tuple[_Asked | None, bool]:
        """Waits; what was asked for, or None for the routine, and whether that is an idle one."""
        with self._condition:
            while not self.stop.is_set():
                if self._asked:
                    return self._asked.pop(0), False
                now = time.monotonic()
                waits = []
                if self._wanted:
                    if now >= self._not_before:
                        self._wanted = False
                        return None, False
                    waits.append(self._not_before - now)
                if not self._idle_done:
                    idle_at = max(self._last_touch + self._idle_s, self._not_before)
                    if now >= idle_at:
                        return None, True
                    waits.append(idle_at - now)
                self._condition.wait(min(waits, default=None))
        return None, False


def _closing() -> Unavailable:
    return Unavailable("NOT_READY", "the partition is closing; try another replica")
