"""Prometheus metrics of a server: in a registry of its own, on a port of its own."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    make_wsgi_app,
)

from patchsearch.ports import refuse_taken

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


# Reasons are constants of the code; what another server sends in one's place must not make series.
_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,47}")


class CallMetrics:
    """Counts, durations and concurrency of calls, by method. Thread-safe.

    Times are seconds. The labels are names of methods that exist, of status codes and of reasons,
    so the number of series is bounded whatever callers send.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "patchsearch_calls",
            "Calls answered, by method and gRPC status code.",
            ["method", "code"],
            registry=registry,
        )
        self._errors = Counter(
            "patchsearch_call_errors",
            "Calls answered with an error, by method and reason; refused ones included.",
            ["method", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "patchsearch_call_seconds",
            "Seconds from a call's start to its end, by method and gRPC status code.",
            ["method", "code"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._stages = Histogram(
            "patchsearch_stage_seconds",
            "Seconds of a part of a call, by stage and whether it went well.",
            ["stage", "outcome"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        # Looked up once: a search has several.
        self._timed: dict[tuple[str, str], Histogram] = {}
        self._running = Gauge(
            "patchsearch_calls_running",
            "Calls being served, by method.",
            ["method"],
            registry=registry,
        )

    def started(self, method: str) -> None:
        """A call of `method` begins."""
        self._running.labels(method).inc()

    def finished(self, method: str, code: str, seconds: float, reason: str | None = None) -> None:
        """It ended with the status `code` after `seconds`, and where it failed with `reason`."""
        self._running.labels(method).dec()
        self._calls.labels(method, code).inc()
        self._seconds.labels(method, code).observe(seconds)
        if reason is not None:
            known = _REASON.fullmatch(reason) is not None
            self._errors.labels(method, reason if known else "OTHER").inc()

    def staged(self, stage: str, seconds: float, well: bool) -> None:
        """A stage of some call took `seconds`, and failed unless `well`."""
        key = stage, "ok" if well else "failed"
        timed = self._timed.get(key)
        if timed is None:
            timed = self._timed[key] = self._stages.labels(*key)
        timed.observe(seconds)


class ServerMetrics:
    """What a server is and how full it is, asked for at each scrape. Thread-safe."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        workers: int,
        max_waiting: int,
        waiting: Callable[[], int],
        serving: Callable[[], bool],
        certificate: Path | None = None,
    ) -> None:
        """`waiting` and `serving` are called by the thread that answers the scrape. The end of
        `certificate` is told where the package cryptography is there to read it."""
        Gauge(
            "patchsearch_build",
            "Always 1; the label says which version runs.",
            ["version"],
            registry=registry,
        ).labels(version("patchsearch")).set(1)
        Gauge("patchsearch_workers", "Calls that are worked on at a time.", registry=registry).set(
            workers
        )
        Gauge(
            "patchsearch_calls_waiting_limit",
            "Calls that may wait for a worker; more are refused with OVERLOADED.",
            registry=registry,
        ).set(max_waiting)
        _asked("patchsearch_calls_waiting", "Calls that wait for a worker.", waiting, registry)
        _asked(
            "patchsearch_serving",
            "1 while calls are let in; 0 before the server is warm and while it drains.",
            serving,
            registry,
        )
        if certificate is not None and find_spec("cryptography") is not None:
            _asked(
                "patchsearch_certificate_expiry_timestamp_seconds",
                "When the certificate that the port shows ends, in Unix time; NaN if unreadable.",
                lambda: _ends(certificate),
                registry,
            )


def _asked(name: str, text: str, ask: Callable[[], float], registry: CollectorRegistry) -> None:
    Gauge(name, text, registry=registry).set_function(ask)


def _ends(certificate: Path) -> float:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(
            certificate.read_bytes()
        ).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return float("nan")


class MetricsServer:
    """Serves a registry as text over HTTP until it is stopped.

    `/ready` answers 200 while `ready()` says so and 503 otherwise, `/live` 200: for probes of
    orchestrators, whose own gRPC probes know no TLS. Every other path gives the metrics.

    Raises FailedPrecondition (PORT_TAKEN) when it cannot have the port; `setting` names the flag
    and the variable in that message.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        host: str,
        port: int,
        setting: str,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        refuse_taken(host, port, setting)
        ProcessCollector(registry=registry)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        server = type("_Server", (_Server,), {"address_family": found[0][0]})
        self._server: _Server = server((host, port), _Handler)
        self._server.set_app(_app(make_wsgi_app(registry), ready))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()
        self.port: int = self._server.server_port

    def stop(self) -> None:
        """Closes the port; returns when it is closed."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    """A scrape does not wait for another one."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10
    """Seconds for a request: who sends none is not waited for."""

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line."""


def _app(metrics: WSGIApplication, ready: Callable[[], bool]) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path not in ("/ready", "/live"):
            return metrics(environ, start_response)
        good = path == "/live" or ready()
        status = "200 OK" if good else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain")])
        return [b"yes\n" if good else b"no\n"]

    return answer
