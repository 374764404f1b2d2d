"""A channel that shows the certificate that is in its files now: made anew when they change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from patchsearch.errors import PatchsearchError
from service_runtime.file_watch import signature
from service_runtime.logs import logger

# Calls begun on the channel before may take so long; then it is closed.
_RETIRE_S = 600.0

if TYPE_CHECKING:  # generic in the stubs only
    Multi = grpc.UnaryUnaryMultiCallable[Any, Any]
else:
    Multi = object


class RenewingChannel(grpc.Channel):
    """Calls go through the newest channel; those under way stay where they began. Thread-safe.

    grpc reads a client's certificate once for the life of a channel, so a service that runs for
    longer than its certificate needs another one. Connecting again after a change costs one
    handshake. Files that cannot be used leave the old channel in place, and a line in the log.
    """

    def __init__(self, open_channel: Callable[[], grpc.Channel], files: Sequence[Path]) -> None:
        """`open_channel` reads the files; raises what that raises."""
        self._open_channel = open_channel
        self._files = tuple(files)
        self._lock = threading.Lock()
        self._seen = signature(self._files)
        self._channel = open_channel()
        self._retired: list[tuple[float, grpc.Channel]] = []
        self._closed = False

    def current(self) -> grpc.Channel:
        """The channel for a call that begins now."""
        now = signature(self._files)
        if now == self._seen:
            return self._channel
        with self._lock:
            if now != self._seen and not self._closed:
                self._renew()
                # Tried once a change: a file that is bad stays bad until it changes again.
                self._seen = now
            return self._channel

    def _renew(self) -> None:
        try:
            fresh = self._open_channel()
        except PatchsearchError as error:
            logger("tls").error("channel not renewed; the old one stays", reason=str(error))
            return
        at = time.monotonic()
        self._retired.append((at, self._channel))
        self._channel = fresh
        for retired in [pair for pair in self._retired if at - pair[0] > _RETIRE_S]:
            self._retired.remove(retired)
            retired[1].close()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Callable(self, lambda channel: channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Callable(self, lambda channel: channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Callable(self, lambda channel: channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Callable(self, lambda channel: channel.stream_stream(*args, **kwargs))

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        """Of the channel as it is now; a renewed one has to be subscribed to again."""
        self._channel.subscribe(callback, try_to_connect=bool(try_to_connect))

    def unsubscribe(self, callback: Any) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        """Closes all of it; calls under way are cancelled."""
        with self._lock:
            self._closed = True
            for _, channel in self._retired:
                channel.close()
            self._retired.clear()
            self._channel.close()

    def __enter__(self) -> RenewingChannel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Callable(Multi):
    """One method of a stub, on whatever channel is the current one."""

    def __init__(self, renewing: RenewingChannel, make: Callable[[grpc.Channel], Any]) -> None:
        self._renewing = renewing
        self._make = make
        channel = renewing.current()
        self._made = (channel, make(channel))

    def _now(self) -> Any:
        channel = self._renewing.current()
        made_for, made = self._made
        if made_for is not channel:
            made = self._make(channel)
            self._made = (channel, made)
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._now()(*args, **kwargs)

    def with_call(self, *args: Any, **kwargs: Any) -> Any:
        return self._now().with_call(*args, **kwargs)

    def future(self, *args: Any, **kwargs: Any) -> Any:
        return self._now().future(*args, **kwargs)
