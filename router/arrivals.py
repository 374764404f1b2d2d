"""Several calls waited for together."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

import grpc

KeyT = TypeVar("KeyT")
ResponseT = TypeVar("ResponseT")


class Arrivals(Generic[KeyT, ResponseT]):
    """Calls under way, handed out as they end. For one thread.

    Nothing is asked of a call that has not ended, so one that outlives its own deadline (a
    connection that is half open, a process that is stopped) holds nobody up.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[KeyT, grpc.CallFuture[ResponseT]]]
        self._queue = queue.SimpleQueue()
        self._under_way = 0

    def add(self, key: KeyT, call: grpc.CallFuture[ResponseT]) -> None:
        """Waits for this one too; `key` is told when it ends."""
        self._under_way += 1
        call.add_done_callback(lambda _: self._queue.put((key, call)))

    def until(self, ends: float) -> Iterator[tuple[KeyT, grpc.CallFuture[ResponseT]]]:
        """What ends before `ends` (monotonic seconds), in that order; less when nothing is left."""
        while self._under_way:
            try:
                arrived = self._queue.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                return
            self._under_way -= 1
            yield arrived
