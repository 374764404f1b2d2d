"""`patchsearch serve`: the embedded deployment in the foreground until a signal ends it."""

from __future__ import annotations

import queue
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Literal

from patchsearch.errors import PatchsearchError
from patchsearch.serving.cluster import EmbeddedCluster, Role
from patchsearch.serving.programs import Programs


def serve(
    data: Path,
    *,
    encoder: str | None = None,
    shards: int | None = None,
    port: int = 7100,
    encoder_port: int = 0,
    host: str = "127.0.0.1",
    logs: Literal["file", "console"] = "file",
    drain_s: float = 10.0,
    arguments: Mapping[Role, Sequence[str]] | None = None,
    programs: Programs | None = None,
    page: Callable[[str], AbstractContextManager[str]] | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """Serves `data` until SIGINT, SIGTERM or SIGHUP; returns the program's exit status.

    0 after a signal; 1 with one line on standard error when it cannot start, or when a child keeps
    dying. Steps of starting go to standard error; `echo` gets the line with the address. `page`
    serves a web page over the router at an address, and gives its URL. A second signal while
    stopping kills what has not stopped yet. Call it from the main thread.
    """
    signals: queue.SimpleQueue[str] = queue.SimpleQueue()
    with _caught(signals):
        cluster = EmbeddedCluster(
            data,
            encoder,
            shards,
            port,
            encoder_port=encoder_port,
            host=host,
            programs=programs,
            arguments=arguments,
            logs=logs,
            drain_s=drain_s,
            progress=_say,
            cancelled=lambda: not signals.empty(),
        )
        try:
            with cluster, page(cluster.address) if page else nullcontext() as url:
                echo(f"patchsearch serves {Path(data).absolute()} at {cluster.address}")
                if url is not None:
                    echo(f"the page is at {url}")
                failure = _wait(signals, cluster.failures)
                _say("stopping")
        except PatchsearchError as error:
            if error.reason == "CANCELLED":
                return 0
            _say(str(error))
            return 1
        except OSError as error:
            _say(f"cannot work in {data}: {error}")
            return 1
    if failure is not None:
        _say(failure)
        return 1
    return 0


def _wait(signals: queue.SimpleQueue[str], failures: queue.SimpleQueue[str]) -> str | None:
    """Message of the child that was given up, or None when a signal came first."""
    while True:
        try:
            signals.get(timeout=0.1)
            return None
        except queue.Empty:
            pass
        if not failures.empty():
            return failures.get()


@contextmanager
def _caught(signals: queue.SimpleQueue[str]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        signals.put(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(f"patchsearch serve: {line}", file=sys.stderr, flush=True)
