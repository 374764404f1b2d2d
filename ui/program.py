"""Serving the page: until told to stop, or beside something else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from patchsearch.errors import Unavailable
from patchsearch.ports import join_address, reachable_host, refuse_taken
from patchsearch.wire.security import ChannelSecurity
from ui.app import make_app
from ui.settings import UiSettings

_START_S = 30.0
_STOP_S = 10.0


def serve_ui(
    settings: UiSettings,
    security: ChannelSecurity | None = None,
    *,
    echo: Callable[[str], None] = print,
) -> None:
    """Serves until SIGINT or SIGTERM; `echo` gets the line with the address once it listens.

    Raises FailedPrecondition PORT_TAKEN, HOST_UNKNOWN or TOKEN_FILE_UNREADABLE and InvalidArgument
    ROOT_MISSING before anything is served. Call it from the main thread.
    """
    app = make_app(settings, security)
    with _listening(settings) as listener:
        echo(f"patchsearch ui: {_url(settings, listener)} (router {settings.router})")
        _server(app).run(sockets=[listener])


@contextmanager
def running_ui(settings: UiSettings, security: ChannelSecurity | None = None) -> Iterator[str]:
    """Serves in a thread while the block runs; gives the page's URL.

    Raises what `serve_ui` raises, and Unavailable UI_FAILED where it does not start.
    """
    server = _server(make_app(settings, security))
    with _listening(settings) as listener:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="ui", daemon=True
        )
        thread.start()
        until = time.monotonic() + _START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > until:
                raise Unavailable("UI_FAILED", "the page did not start; its messages are above")
            time.sleep(0.01)
        try:
            yield _url(settings, listener)
        finally:
            server.should_exit = True
            thread.join(_STOP_S)


def _listening(settings: UiSettings) -> socket.socket:
    refuse_taken(settings.host, settings.port, "--port or PATCHSEARCH_UI_PORT")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family)


def _url(settings: UiSettings, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://{join_address(reachable_host(settings.host), port)}"


def _server(app: Starlette) -> uvicorn.Server:
    """No access log, for addresses hold what people look for."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            # Addresses of searches with many judged patches are long.
            h11_max_incomplete_event_size=256 * 1024,
        )
    )
