"""The life of a server process: warm up, serve, drain on a signal, close."""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from prometheus_client import CollectorRegistry

from patchsearch.errors import PatchsearchError
from service_runtime.grpc_server import Service, ServiceServer
from service_runtime.logs import configure_logging, logger
from service_runtime.settings import ServiceSettings


@dataclass(frozen=True)
class _Warm:
    error: BaseException | None


@dataclass(frozen=True)
class _Stop:
    why: str


@dataclass(frozen=True)
class _Stopped:
    finished: bool


_Event = _Warm | _Stop | _Stopped

_TURN_S = 0.5


def run_main(prog: str, body: Callable[[], int]) -> int:
    """Runs a program's `body`; a PatchsearchError becomes one line on standard error and status 1.

    For a service's `main`: opening a data directory or a model inside `body` fails with a message
    before any port opens.
    """
    try:
        return body()
    except PatchsearchError as error:
        _say(prog, error)
        return 1
    except KeyboardInterrupt:
        return 130


def leave(status: int) -> NoReturn:
    """Ends the process here and now, with everything that was written on its way out.

    For a program's outermost line, once all that it opened is closed. The interpreter's own end is
    skipped: it tears native libraries (torch, FAISS, grpc) down one after the other while threads
    of theirs may still run, and a program that had stopped in good order was then killed by an
    abort in one of them. Nothing of ours waits for that end; `atexit` handlers do not run.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a reader that went away, a stream that was closed
            stream.flush()
    os._exit(status)


def run(
    settings: ServiceSettings,
    services: Sequence[Service],
    *,
    prog: str,
    warm_up: Callable[[], None] | None = None,
    interrupt: Callable[[], None] | None = None,
    close: Callable[[], None] | None = None,
    registry: CollectorRegistry | None = None,
) -> int:
    """Serves until SIGTERM, SIGINT or (`stop_with_stdin`) the end of standard input.

    Returns the exit status. Call it from the main thread. The port opens first, with health
    NOT_SERVING; `warm_up` runs in a thread of its own, and the server serves, and writes
    `ready_file`, once it has returned. On a signal the server drains for up to `drain_s`, then
    `close` is called, and 0 returned; a second signal cancels what still runs. A PatchsearchError,
    from `warm_up` or because the port is taken, is one line on standard error and status 1; `close`
    is called then too.

    `interrupt` is called when the program is told to stop, so that a `warm_up` that waits for
    something can give up; it must not block, and may be called when nothing waits.

    Where a call or the warm-up cannot be stopped, `close` would pull the store out from under its
    thread: the process then ends at once, without it, with status 1. Stores survive that: they
    survive kill -9.
    """
    configure_logging(settings.log_level, settings.log_format)
    log = logger("program")
    events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
    server = ServiceServer(settings, services, registry=registry)
    with _stop_signals(events):
        try:
            server.start(serving=False)
        except PatchsearchError as error:
            _say(prog, error)
            server.stop(0)
            _close(close)
            return 1
        if settings.stop_with_stdin:
            _in_background("stdin", lambda: _watch_stdin(events))
        log.info("port open", address=server.address, metrics_port=server.metrics_port)
        _in_background("warm-up", lambda: _warm(warm_up, events))
        with _Readiness(settings.ready_file) as readiness:
            status = _serve(prog, server, events, settings.drain_s, readiness, interrupt)
        if status is None:
            log.error("work that cannot be stopped is still running; ending without closing")
            sys.stderr.flush()
            os._exit(1)
        _close(close)
        log.info("stopped", status=status)
    return status


def _serve(
    prog: str,
    server: ServiceServer,
    events: queue.SimpleQueue[_Event],
    drain_s: float,
    readiness: _Readiness,
    interrupt: Callable[[], None] | None,
) -> int | None:
    """Handles events until the server is down: the exit status, None where threads run on."""
    log = logger("program")
    warm = stopping = False
    status = 0
    down: _Stopped | None = None

    def stop(grace_s: float) -> None:
        _in_background("stop", lambda: events.put(_Stopped(server.stop(grace_s))))

    while down is None:
        match _next(events):
            case _Warm(error=None):
                warm = True
                server.set_serving(True)
                if not stopping:
                    readiness.announce(server)
                    log.info("serving", address=server.address)
            case _Warm() if stopping:
                warm = True
            case _Warm(error=error):
                warm, status = True, 1
                if isinstance(error, PatchsearchError):
                    _say(prog, error)
                else:
                    log.error("warm-up failed on a defect", exc_info=error)
                stopping = True
                stop(0)
            case _Stop(why=why):
                log.info("stopping", why=why, drain_s=0 if stopping else drain_s)
                if interrupt is not None and not stopping:
                    interrupt()
                stop(0 if stopping else drain_s)
                stopping = True
            case _Stopped() as down:
                pass
    if not warm:
        try:
            warm = isinstance(events.get(timeout=max(1.0, drain_s)), _Warm)
        except queue.Empty:
            warm = False
    return status if warm and down.finished else None


def _next(events: queue.SimpleQueue[_Event]) -> _Event:
    """Waits for an event, in turns: a signal that comes in the instant before a thread blocks does
    not wake it, and its Python handler would wait for the next one."""
    while True:
        try:
            return events.get(timeout=_TURN_S)
        except queue.Empty:
            pass


def _warm(warm_up: Callable[[], None] | None, events: queue.SimpleQueue[_Event]) -> None:
    try:
        if warm_up is not None:
            warm_up()
    except BaseException as error:
        events.put(_Warm(error))
    else:
        events.put(_Warm(None))


def _watch_stdin(events: queue.SimpleQueue[_Event]) -> None:
    while os.read(0, 4096):
        pass
    events.put(_Stop("standard input closed"))


def _in_background(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


@contextmanager
def _stop_signals(events: queue.SimpleQueue[_Event]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        # SimpleQueue.put may be called from a handler that interrupted get; an Event's set may not.
        events.put(_Stop(signal.Signals(number).name))

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Readiness:
    """The ready file: there from the moment the server serves until it is down."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def announce(self, server: ServiceServer) -> None:
        if self._path is None:
            return
        facts = {"port": server.port, "metrics_port": server.metrics_port, "pid": os.getpid()}
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(facts), encoding="utf-8")
        temporary.replace(self._path)

    def __enter__(self) -> _Readiness:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _close(close: Callable[[], None] | None) -> None:
    if close is not None:
        close()


def _say(prog: str, error: PatchsearchError) -> None:
    print(f"{prog}: {error}", file=sys.stderr, flush=True)
