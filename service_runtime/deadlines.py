"""The gRPC deadline is the only timeout: what is left of it, and one for calls without."""

from __future__ import annotations

import time
from typing import Any, cast

import grpc

from patchsearch.errors import DeadlineExceeded

# grpc reports a call without a deadline as having centuries left, or None.
_NO_DEADLINE_S = 1e8
_DEFAULT_S = 60.0


def remaining_s(context: grpc.ServicerContext, *, reserve_s: float = 0.0) -> float:
    """Seconds that the call being served may still spend, over `reserve_s` kept for its own end.

    Give it as `timeout=` to every call made on behalf of this one: deadlines do not propagate by
    themselves. Always finite: calls that came without a deadline have the server's default.
    Raises DeadlineExceeded (DEADLINE_EXCEEDED) when nothing is left. Thread-safe.
    """
    left = context.time_remaining()
    if left is None or left > _NO_DEADLINE_S:
        left = _DEFAULT_S
    left -= reserve_s
    if left <= 0:
        raise DeadlineExceeded(
            "DEADLINE_EXCEEDED",
            f"the call's time ran out, {reserve_s:.3g} s being kept for its own end; "
            "give it a longer deadline",
        )
    return left


def bounded(
    context: grpc.ServicerContext, default_s: float, *, streaming: bool
) -> grpc.ServicerContext:
    """`context`, with a deadline of `default_s` seconds from now where the caller set none.

    A stream may rightly run for hours: there `time_remaining` says `default_s` whenever it is
    asked, so that every step of the stream is bounded and the stream is not.
    """
    left = context.time_remaining()
    if left is not None and left <= _NO_DEADLINE_S:
        return context
    until = None if streaming else time.monotonic() + default_s
    return cast(grpc.ServicerContext, _DefaultDeadline(context, default_s, until))


class _DefaultDeadline:
    """A servicer context in all but `time_remaining`."""

    def __init__(
        self, context: grpc.ServicerContext, default_s: float, until: float | None
    ) -> None:
        self._context = context
        self._default_s = default_s
        self._until = until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def time_remaining(self) -> float:
        if self._until is None:
            return self._default_s
        return max(0.0, self._until - time.monotonic())
