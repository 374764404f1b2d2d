"""Work on the items of a stream: several at a time, never more than a bound, one key in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_END = object()


class BoundedStream(Generic[ItemT, ResultT]):
    """Maps a stream of items to results as they finish. One use per object.

    At most `in_flight` items are read and not yet answered: the next is taken from `items` only
    once a result was taken by the consumer, so a fast sender and a slow receiver are both held
    back. Items of one key are worked on one after the other, in their order.
    """

    def __init__(
        self,
        work: Callable[[ItemT], ResultT],
        key: Callable[[ItemT], str],
        threads: Executor,
        in_flight: int,
    ) -> None:
        """`work` must not raise; it runs on `threads`, which must start tasks in order."""
        self._work = work
        self._key = key
        self._threads = threads
        self._free = threading.Semaphore(in_flight)
        self._finished: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._last_of_key: dict[str, threading.Event] = {}

    def run(self, items: Iterable[ItemT]) -> Iterator[ResultT]:
        """Results in the order in which they finish; ends when every item has been answered.

        What iterating over `items` raises is raised here, after the results that were under way.
        Closing the generator, or `stop`, stops reading.
        """
        context = copy_context()
        reader = threading.Thread(
            target=context.run, args=(self._read, items), name="ingest-reader", daemon=True
        )
        reader.start()
        expected: int | None = None
        answered = 0
        failure: BaseException | None = None
        try:
            while expected is None or answered < expected:
                arrived = self._finished.get()
                if isinstance(arrived, _Ended):
                    expected, failure = arrived.items, arrived.failure
                    continue
                answered += 1
                yield arrived  # type: ignore[misc]
                self._free.release()
        finally:
            self.stop()
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Reads no further; items under way are finished. Thread-safe."""
        self._stopped.set()
        self._free.release()

    def _read(self, items: Iterable[ItemT]) -> None:
        count = 0
        failure: BaseException | None = None
        try:
            source = iter(items)
            while True:
                self._free.acquire()
                if self._stopped.is_set():
                    break
                item = next(source, _END)
                if item is _END:
                    break
                self._submit(item)  # type: ignore[arg-type]
                count += 1
        except BaseException as error:
            failure = error
        self._finished.put(_Ended(count, failure))

    def _submit(self, item: ItemT) -> None:
        done = threading.Event()
        key = self._key(item)
        with self._lock:
            before = self._last_of_key.get(key)
            self._last_of_key[key] = done
        self._threads.submit(copy_context().run, self._attempt, item, key, before, done)

    def _attempt(
        self, item: ItemT, key: str, before: threading.Event | None, done: threading.Event
    ) -> None:
        # The one before was submitted earlier, so it has a thread already: this cannot deadlock.
        if before is not None:
            before.wait()
        try:
            self._finished.put(self._work(item))
        finally:
            done.set()
            with self._lock:
                if self._last_of_key.get(key) is done:
                    del self._last_of_key[key]


class _Ended:
    def __init__(self, items: int, failure: BaseException | None) -> None:
        self.items = items
        self.failure = failure
