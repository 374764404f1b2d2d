"""The server that all three services run in: one port, health, reflection, metrics, clean stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from patchsearch.ports import is_loopback, join_address, reachable_host, refuse_taken
from service_runtime.admission import Gate, Phase, WorkerPool
from service_runtime.audit import AuditLog
from service_runtime.calls import CallInterceptor
from service_runtime.doorkeeper import Doorkeeper
from service_runtime.exposure import check_exposure
from service_runtime.logs import logger
from service_runtime.metrics import CallMetrics, MetricsServer, ServerMetrics
from service_runtime.settings import ServiceSettings, flag_and_variable
from service_runtime.tokens import TokenBook
from service_runtime.tracing import Tracing, open_tracing

# What grpc needs to put the last answers on the wire once every handler has returned.
_FLUSH_S = 1.0
_HANDSHAKE_MS = 20_000
_WATCHERS = 64


@dataclass(frozen=True)
class Service:
    """A servicer and how generated code adds it to a server.

    `name` is the full one ("patchsearch.shard.v1.ShardService"), for health and reflection.
    """

    name: str
    servicer: object
    add_to_server: Callable[[Any, grpc.Server], None]


class ServiceServer:
    """Serves `services` on one port; also what tests use. Its methods are thread-safe.

    As a context manager it is started on entry and stopped on exit. `readiness` is called once, by
    `start`, when the port is open: health says NOT_SERVING and calls get NOT_READY until it has
    returned. `registry` takes the server's metrics, and the service's own; a fresh one by default.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        services: Sequence[Service],
        *,
        readiness: Callable[[], None] | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._settings = settings
        self._services = tuple(services)
        self._readiness = readiness
        self._registry = registry if registry is not None else CollectorRegistry()
        self._gate = Gate()
        self._log = logger("server")
        self._stopping = threading.Lock()
        self._health = health.HealthServicer()
        self._pool = WorkerPool(settings.workers, settings.max_waiting, settings.max_wait_s)
        self._side_pool = ThreadPoolExecutor(2, thread_name_prefix="health")
        self._watch_pool = WorkerPool(_WATCHERS, 0, settings.max_wait_s)
        self._metrics: MetricsServer | None = None
        self._tracing: Tracing | None = None
        self._audit_log: AuditLog | None = None
        self._server: grpc.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is open; what the settings ask for until `start`."""
        return self._port or self._settings.port

    @property
    def metrics_port(self) -> int | None:
        """The port on which metrics are served; None when they are not."""
        return None if self._metrics is None else self._metrics.port

    @property
    def address(self) -> str:
        """Where programs on this machine reach the server: "127.0.0.1:7101"."""
        return join_address(reachable_host(self._settings.host), self.port)

    def start(self, *, serving: bool = True) -> None:
        """Opens the port, waits for `readiness`, and serves; not yet where `serving` is False.

        Raises FailedPrecondition: PORT_TAKEN (port, flag and variable are in the message),
        PORT_UNUSABLE, HOST_UNKNOWN, INSECURE_BIND, and those of TLS, token and audit files. What
        `readiness` raises passes through, the server stopped.
        """
        settings = self._settings
        refuse_taken(settings.host, settings.port, flag_and_variable(settings, "port"))
        check_exposure(settings, [service.name for service in self._services])
        self.set_serving(False)
        try:
            self._open()
            if self._readiness is not None:
                self._readiness()
        except BaseException:
            self.stop(0)
            raise
        if serving:
            self.set_serving(True)

    def _open(self) -> None:
        settings = self._settings
        if settings.otlp_endpoint is not None:
            self._tracing = open_tracing(
                settings.otlp_endpoint, settings.otlp_share, settings.program
            )
        if settings.audit_file is not None:
            self._audit_log = AuditLog(settings.audit_file)
        if settings.metrics_port is not None:
            self._metrics = MetricsServer(
                self._registry,
                settings.host,
                settings.metrics_port,
                flag_and_variable(settings, "metrics_port"),
                lambda: self._gate.phase is Phase.SERVING,
            )
        self._server = self._make_server()
        self._port = self._open_port(self._server, join_address(settings.host, settings.port))
        self._server.start()
        if settings.insecure and not is_loopback(settings.host):
            self._log.warning(
                "listening beyond this machine with --insecure: see to it that nobody reaches the "
                "port who should not",
                address=join_address(settings.host, self._port),
                tls=settings.tls_cert is not None,
                tokens=settings.tokens is not None,
                certificates=settings.tls_client_ca is not None,
            )

    def set_serving(self, serving: bool) -> None:
        """Lets calls in, or turns new ones away (NOT_READY); health checks and watchers follow.

        A server that is stopping stays as it is.
        """
        if self._gate.phase is Phase.DRAINING:
            return
        self._gate.move_to(Phase.SERVING if serving else Phase.STARTING)
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(
            "SERVING" if serving else "NOT_SERVING"
        )
        for name in ("", *(service.name for service in self._services)):
            self._health.set(name, status)

    def stop(self, grace_s: float | None = None) -> bool:
        """Turns new calls away, lets running ones finish for `grace_s` seconds, closes the port.

        `drain_s` of the settings where `grace_s` is None. Calls still running then are cancelled:
        their callers get UNAVAILABLE, and False is returned, because their threads may run on. May
        be called while another thread's `stop` waits, to cut that one short; after that it does
        nothing.
        """
        grace = self._settings.drain_s if grace_s is None else grace_s
        self._gate.move_to(Phase.DRAINING)
        self._health.enter_graceful_shutdown()
        until = time.monotonic() + grace
        finished = self._gate.wait_idle(grace)
        with self._stopping:
            server, self._server = self._server, None
            metrics, self._metrics = self._metrics, None
            tracing, self._tracing = self._tracing, None
            audit_log, self._audit_log = self._audit_log, None
        if server is not None:
            left = max(0.0, until - time.monotonic())
            server.stop(min(_FLUSH_S, left) if finished else None).wait()
            finished = finished or self._gate.wait_idle(_FLUSH_S)
            self._pool.shutdown(wait=finished)
            self._side_pool.shutdown(wait=finished)
            self._watch_pool.shutdown(wait=finished, cancel_futures=True)
        if metrics is not None:
            metrics.stop()
        if tracing is not None:
            tracing.close()
        if audit_log is not None:
            audit_log.close()
        return finished

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _open_port(self, server: grpc.Server, address: str) -> int:
        security = self._settings.server_security()
        if security is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, security.credentials())

    def _make_doorkeeper(self) -> Doorkeeper:
        settings = self._settings
        return Doorkeeper(
            None if settings.tokens is None else TokenBook(settings.tokens),
            certificates=settings.tls_client_ca is not None,
            certificate_names=settings.tls_client_names,
        )

    def _make_server(self) -> grpc.Server:
        limit = self._settings.max_message_mb * 1024 * 1024
        ServerMetrics(
            self._registry,
            workers=self._settings.workers,
            max_waiting=self._settings.max_waiting,
            waiting=lambda: self._pool.waiting,
            serving=lambda: self._gate.phase is Phase.SERVING,
            certificate=self._settings.tls_cert,
        )
        server = grpc.server(
            self._pool,
            interceptors=[
                CallInterceptor(
                    self._gate,
                    self._pool,
                    self._side_pool,
                    self._watch_pool,
                    CallMetrics(self._registry),
                    self._settings.default_deadline_s,
                    self._tracing,
                    self._make_doorkeeper(),
                    self._audit_log,
                )
            ],
            options=[
                # Two servers on one port would each get some of the calls: refuse instead.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", limit),
                # Identity only: grpc inflates a compressed message whole before it looks at the
                # limit, so that 60 MB could become 60 GB; photos and vectors do not shrink anyway.
                ("grpc.compression_enabled_algorithms_bitset", 1),
                # Who connects and does not finish the handshake is let go (grpc's own: 120 s).
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
                # Let clients ping as often as service_runtime.clients does.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )
        for service in self._services:
            service.add_to_server(service.servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [service.name for service in self._services]
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        return server
