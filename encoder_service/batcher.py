"""The one thread that owns the model, and the queue in front of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder_service.batching import BatchQueue, Lane, Slice
from encoder_service.call import Call
from encoder_service.metrics import Observe, not_observed
from encoder_service.model import Model, Pixels, Running, TokenIds, Vectors
from patchsearch.errors import InternalError, PatchsearchError, ResourceExhausted, Unavailable
from service_runtime.logs import logger

_IN_FLIGHT = 2
"""Batches handed to an accelerator at a time: one is computed while the next is copied over."""

_RATE_MEMORY = 0.8
_MIN_RETRY_S = 0.05
_MAX_RETRY_S = 30.0


@dataclass(slots=True)
class _Ticket:
    call: Call
    inputs: NDArray[np.uint8] | NDArray[np.int64]
    vectors: Vectors
    missing: int
    future: Future[Vectors] = field(default_factory=Future)

    @property
    def gone(self) -> bool:
        return self.future.done() or self.call.gone

    def fail(self, error: Exception) -> None:
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def fill(self, part: Slice, vectors: Vectors) -> None:
        self.vectors[part.start : part.stop] = vectors
        self.missing -= part.stop - part.start
        if self.missing == 0 and not self.future.done():
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(self.vectors)


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch with the tickets of its slices, which a caller that leaves cannot take away."""

    lane: Lane
    parts: tuple[tuple[Slice, _Ticket], ...]

    @property
    def size(self) -> int:
        return sum(part.stop - part.start for part, _ in self.parts)

    def fail(self, error: Exception) -> None:
        for _, ticket in self.parts:
            ticket.fail(error)


@dataclass(frozen=True, slots=True)
class _Begun:
    work: _Work
    running: Running
    started: float


class Batcher:
    """Batches the work of all callers through one model, on one thread.

    The thread sleeps until work comes; there is no timer that waits for a batch to fill: while one
    batch is computed the next one gathers. Work whose caller has left is dropped before it is
    batched. Thread-safe.
    """

    def __init__(
        self, model: Model, *, max_batch: int, queue_limit: int, observe: Observe = not_observed
    ) -> None:
        self._model = model
        self._observe = observe
        self._wake = threading.Condition()
        self._queue = BatchQueue(max_batch, queue_limit)
        self._queued: dict[int, _Ticket] = {}
        self._next_number = 0
        self._items_per_s = 0.0
        self._delivered = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    def close(self) -> None:
        """Lets the batches at work finish, fails the rest (NOT_READY), and joins the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()
        for ticket in self._queued.values():
            ticket.fail(_stopping())
        self._queued.clear()

    @property
    def waiting(self) -> int:
        """Items that wait for a batch."""
        return self._queue.waiting

    @property
    def closed(self) -> bool:
        """Whether no more work is taken."""
        return self._closed

    def submit(self, inputs: Pixels | TokenIds, lane: Lane, call: Call) -> Future[Vectors]:
        """Queues inputs (n, ...) for the model; the future gives their (n, dim) unit vectors.

        The inputs must not change until then. Raises `ResourceExhausted` (OVERLOADED) when the
        queue has no room for them, `Unavailable` (NOT_READY) when closed.
        """
        count = len(inputs)
        vectors = np.empty((count, self._model.card.dim), dtype=np.float32)
        ticket = _Ticket(call, inputs, vectors, count)
        if count == 0:
            ticket.future.set_result(vectors)
            return ticket.future
        with self._wake:
            if self._closed:
                raise _stopping()
            if not self._queue.admit(self._next_number, lane, count):
                self._forget_gone()
                if not self._queue.admit(self._next_number, lane, count):
                    raise self._overloaded(count)
            self._queued[self._next_number] = ticket
            self._next_number += 1
            self._wake.notify()
        return ticket.future

    def _overloaded(self, count: int) -> ResourceExhausted:
        waiting, limit = self._queue.waiting, self._queue.queue_limit
        wait = waiting / self._items_per_s if self._items_per_s else 1.0
        return ResourceExhausted(
            "OVERLOADED",
            f"the encoder's queue has no room for {count} more: {waiting} wait, the limit is "
            f"{limit}; come back later, or send less at once",
            retry_after_s=min(max(wait, _MIN_RETRY_S), _MAX_RETRY_S),
        )

    def _run(self) -> None:
        running: deque[_Begun] = deque()
        while True:
            work = self._next_work(wait=not running)
            if work is None and not running:
                return
            if work is not None:
                self._begin(work, running)
            while running and (
                work is None or len(running) >= _IN_FLIGHT or running[0].running.done()
            ):
                self._deliver(running.popleft())

    def _next_work(self, *, wait: bool) -> _Work | None:
        """The next batch, of callers that are still there; None if closed or nothing waits now."""
        with self._wake:
            while not self._closed:
                self._forget_gone()
                batch = self._queue.take()
                if batch is not None:
                    parts = tuple((part, self._queued[part.ticket]) for part in batch.slices)
                    for part, ticket in parts:
                        if part.stop == len(ticket.inputs):
                            del self._queued[part.ticket]
                    return _Work(batch.lane, parts)
                if not wait:
                    return None
                self._wake.wait()
            return None

    def _forget_gone(self) -> None:
        for number in self._queue.drop(lambda number: self._queued[number].gone):
            self._queued.pop(number).future.cancel()

    def _begin(self, work: _Work, running: deque[_Begun]) -> None:
        started = time.monotonic()
        inputs = [ticket.inputs[part.start : part.stop] for part, ticket in work.parts]
        begin: Callable[[Any], Running] = (
            self._model.begin_texts if work.lane is Lane.TEXT else self._model.begin_images
        )
        try:
            running.append(_Begun(work, begin(inputs), started))
        except Exception as error:
            self._observe(work.lane, 0, 0.0)
            work.fail(_model_failure(error))

    def _deliver(self, begun: _Begun) -> None:
        try:
            vectors = begun.running.result()
            if not np.isfinite(vectors).all():
                raise InternalError("VECTOR_NOT_FINITE", "the model gave vectors with NaN in them")
        except Exception as error:
            self._observe(begun.work.lane, 0, 0.0)
            begun.work.fail(_model_failure(error))
            return
        now = time.monotonic()
        self._observe(begun.work.lane, begun.work.size, now - begun.started)
        self._learn_rate(begun.work.size / max(now - max(begun.started, self._delivered), 1e-6))
        self._delivered = now
        row = 0
        for part, ticket in begun.work.parts:
            count = part.stop - part.start
            ticket.fill(part, vectors[row : row + count])
            row += count

    def _learn_rate(self, items_per_s: float) -> None:
        old = self._items_per_s or items_per_s
        self._items_per_s = _RATE_MEMORY * old + (1 - _RATE_MEMORY) * items_per_s


def _model_failure(error: Exception) -> PatchsearchError:
    if isinstance(error, PatchsearchError):
        return error
    logger("model").error("the model failed on a batch", exc_info=error)
    failure = InternalError("MODEL_FAILED", f"the model failed on this batch: {error}")
    failure.__cause__ = error
    return failure


def _stopping() -> Unavailable:
    return Unavailable("NOT_READY", "the encoder is stopping; try another one, or later")
