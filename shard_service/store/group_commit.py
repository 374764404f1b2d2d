"""One writer thread that merges what concurrent callers write into few durable transactions."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from patchsearch.errors import ResourceExhausted, Unavailable

Operation = TypeVar("Operation")
Outcome = TypeVar("Outcome")


class GroupCommit(Generic[Operation, Outcome]):
    """Queues batches of operations and hands them, merged, to `commit` on a thread of its own.

    `commit` takes operations in the order in which they came and returns one outcome each, after
    they are durable; what it raises reaches every caller of the merged batch. While one
    transaction waits for the disk the next one gathers, so throughput grows with concurrency and
    nobody waits for a timer. Thread-safe.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Sequence[Operation]], Sequence[Outcome]],
        *,
        max_operations: int = 1024,
        max_waiting: int = 1024,
    ) -> None:
        self._commit = commit
        self._max_operations = max_operations
        self._max_waiting = max_waiting
        self._condition = threading.Condition()
        self._waiting: deque[tuple[Sequence[Operation], Future[Sequence[Outcome]]]] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"commit-{name}", daemon=True)
        self._thread.start()

    def submit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Blocks until `operations` are durable and returns their outcomes.

        They are written in one transaction, in order: all of them or none. Raises what `commit`
        raises; ResourceExhausted OVERLOADED when too many callers wait; Unavailable NOT_READY after
        `close`.
        """
        future: Future[Sequence[Outcome]] = Future()
        with self._condition:
            if self._closed:
                raise Unavailable("NOT_READY", "the partition is closing; try another replica")
            if len(self._waiting) >= self._max_waiting:
                raise ResourceExhausted(
                    "OVERLOADED",
                    f"{self._max_waiting} writes wait for this partition; send fewer at a time",
                    retry_after_s=1.0,
                )
            self._waiting.append((operations, future))
            self._condition.notify()
        return future.result()

    def close(self) -> None:
        """Commits what was submitted, refuses more, and ends the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            operations = [operation for part, _ in batch for operation in part]
            try:
                outcomes = self._commit(operations)
            except BaseException as error:
                for _, future in batch:
                    future.set_exception(error)
                continue
            at = 0
            for part, future in batch:
                future.set_result(outcomes[at : at + len(part)])
                at += len(part)

    def _next_batch(self) -> list[tuple[Sequence[Operation], Future[Sequence[Outcome]]]]:
        """Everything that waits, up to the limit; empty at the end."""
        with self._condition:
            while not self._waiting and not self._closed:
                self._condition.wait()
            batch: list[tuple[Sequence[Operation], Future[Sequence[Outcome]]]] = []
            room = self._max_operations
            while self._waiting and (not batch or len(self._waiting[0][0]) <= room):
                part = self._waiting.popleft()
                room -= len(part[0])
                batch.append(part)
            return batch
