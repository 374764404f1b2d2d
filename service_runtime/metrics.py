"""Prometheus metrics of a server: in a registry of its own, on a port of its own."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from patchsearch.ports import refuse_taken

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class CallMetrics:
    """Counts, durations and concurrency of calls, by method. Thread-safe.

    Times are seconds. The labels are names of methods that exist and of status codes, so the number
    of series is bounded whatever callers send.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "patchsearch_calls",
            "Calls answered, by method and gRPC status code.",
            ["method", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "patchsearch_call_seconds",
            "Seconds from a call's start to its end, by method and gRPC status code.",
            ["method", "code"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._running = Gauge(
            "patchsearch_calls_running",
            "Calls being served, by method.",
            ["method"],
            registry=registry,
        )

    def started(self, method: str) -> None:
        """A call of `method` begins."""
        self._running.labels(method).inc()

    def finished(self, method: str, code: str, seconds: float) -> None:
        """It ended with the status `code` after `seconds`."""
        self._running.labels(method).dec()
        self._calls.labels(method, code).inc()
        self._seconds.labels(method, code).observe(seconds)


class MetricsServer:
    """Serves a registry as text over HTTP until it is stopped; any path answers.

    Raises FailedPrecondition (PORT_TAKEN) when it cannot have the port; `setting` names the flag
    and the variable in that message.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int, setting: str) -> None:
        refuse_taken(host, port, setting)
        ProcessCollector(registry=registry)
        server: tuple[WSGIServer, threading.Thread] = start_http_server(port, host, registry)
        self._server, self._thread = server
        self.port: int = self._server.server_port

    def stop(self) -> None:
        """Closes the port; returns when it is closed."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
