"""What one incoming call has under way at other servers: its time, and a way to stop all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from patchsearch.errors import DeadlineExceeded, PatchsearchError
from patchsearch.wire.status import error_from_rpc
from service_runtime.deadlines import remaining_s

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

SMALLEST_RESERVE_SHARE = 0.25
"""A reserve never takes more than this share of the time left: short calls stay possible."""


class CallScope:
    """The outgoing calls made for one incoming call.

    They get what is left of its time, less a reserve, and are cancelled when the caller goes away.
    Thread-safe: the threads that work for one stream share its scope.
    """

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        """`seconds_left` tells how long calls may still take; it raises DeadlineExceeded at 0."""
        self._seconds_left = seconds_left
        self._lock = threading.Lock()
        self._running: set[grpc.CallFuture[Any]] = set()
        self._callbacks: set[Callable[[], None]] = set()
        self._stopped = threading.Event()

    @classmethod
    def of(cls, context: grpc.ServicerContext) -> CallScope:
        """A scope with the deadline of the call being served, cancelled when that call ends."""
        scope = cls(lambda: remaining_s(context))
        if not context.add_callback(scope.cancel):
            scope.cancel()
        return scope

    @property
    def cancelled(self) -> bool:
        """Whether the caller is gone."""
        return self._stopped.is_set()

    def remaining_s(self, reserve_s: float = 0.0) -> float:
        """Seconds left less the reserve, of which at most a quarter of them is kept.

        Raises DeadlineExceeded when nothing is left.
        """
        left = self._seconds_left()
        return left - min(reserve_s, left * SMALLEST_RESERVE_SHARE)

    def start(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        reserve_s: float = 0.0,
    ) -> grpc.CallFuture[ResponseT]:
        """Sends a request without waiting for its answer; see `answer`.

        Raises DeadlineExceeded when no time is left, PatchsearchError CANCELLED when the caller is
        gone.
        """
        timeout_s = self.remaining_s(reserve_s)
        if self.cancelled:
            raise _caller_gone()
        future = method.future(request, timeout=timeout_s)
        with self._lock:
            self._running.add(future)
        future.add_done_callback(self._forget)
        if self.cancelled:  # it may have come between the check and the registration
            future.cancel()
        return future

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        reserve_s: float = 0.0,
    ) -> ResponseT:
        """Sends a request and waits for its answer; raises what `start` and `answer` raise."""
        return answer(self.start(method, request, reserve_s=reserve_s))

    def pause(self, seconds: float) -> None:
        """Waits, and stops waiting when the caller goes away.

        Raises DeadlineExceeded at once when the wait would outlast the call, PatchsearchError
        CANCELLED when the caller is gone.
        """
        left = self.remaining_s()
        if left <= seconds:
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED",
                f"the next try would be in {seconds:.2f} s and the call has {left:.2f} s left; "
                "give it a longer deadline",
            )
        if self._stopped.wait(seconds):
            raise _caller_gone()

    @contextmanager
    def on_cancel(self, callback: Callable[[], None]) -> Iterator[None]:
        """Calls `callback` when the caller goes away while the block runs, or has gone already."""
        with self._lock:
            self._callbacks.add(callback)
        try:
            if self.cancelled:
                callback()
            yield
        finally:
            with self._lock:
                self._callbacks.discard(callback)

    def cancel(self) -> None:
        """Cancels everything that is under way and refuses what would come after."""
        self._stopped.set()
        with self._lock:
            running = list(self._running)
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()
        for future in running:
            future.cancel()  # type: ignore[no-untyped-call]

    def _forget(self, future: grpc.Future[Any]) -> None:
        with self._lock:
            self._running.discard(future)


def answer(future: grpc.CallFuture[ResponseT]) -> ResponseT:
    """Waits for a call's answer; the deadline it was started with is the only timeout.

    Raises the PatchsearchError that the other server raised, or that stands for what happened on
    the way (see `patchsearch.wire.status.error_from_rpc`).
    """
    try:
        return future.result()
    except grpc.FutureCancelledError:
        raise _caller_gone() from None
    except grpc.RpcError as error:
        raise error_from_rpc(error) from error


def _caller_gone() -> PatchsearchError:
    return PatchsearchError("CANCELLED", "the caller cancelled the call")
