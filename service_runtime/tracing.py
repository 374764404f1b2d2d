"""One trace per request across servers, told to an OpenTelemetry collector; nothing while off.

A server that was given an endpoint starts a span for each call it serves and makes it the current
one of that call's context. Where there is a current span, `span` and the calls made through
`service_runtime.clients` become its children, and the W3C `traceparent` header takes it to the next
server. Where there is none, both cost a look at a context variable. OpenTelemetry itself is
imported only with an endpoint (extra `tracing`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from patchsearch.errors import FailedPrecondition, PatchsearchError
from patchsearch.ports import is_loopback

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

REQUEST_ID = "patchsearch.request_id"
"""Attribute of every call's span: the id that log lines and errors carry too."""

# What a server is to blame for, by OpenTelemetry's conventions; other codes are the caller's.
_SERVER_FAULTS = {
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
}
_FLUSH_S = 2.0
_EXPORT_S = 5.0

AttributeValue = str | int | float | bool
Pair = tuple[str, str]
CallT = TypeVar("CallT")


@dataclass(frozen=True, slots=True)
class _Active:
    tracer: Tracer
    span: Span


_active: ContextVar[_Active | None] = ContextVar("patchsearch_span", default=None)
_OFF: AbstractContextManager[None] = nullcontext()


def span(name: str, **attributes: AttributeValue) -> AbstractContextManager[None]:
    """A span around a part of the call that this thread serves; does nothing outside of traces.

    A thread that a servicer starts does not inherit the call's span: run it in
    `contextvars.copy_context()`. Thread-safe.
    """
    active = _active.get()
    if active is None or not active.span.is_recording():
        return _OFF
    return _child(active, name, attributes)


def traced(method: str, send: Callable[[list[Pair]], CallT]) -> CallT:
    """Sends a call as a child of the current span; `send` gets the metadata to add.

    What it returns ends the span once it is done. Without a current span it gets no metadata.
    """
    active = _active.get()
    if active is None:
        return send([])
    if not active.span.is_recording():
        return send(_headers(active.span))
    span = _start(active, method.lstrip("/"), "CLIENT", _rpc(method))
    try:
        call = send(_headers(span))
    except BaseException as error:
        _end(span, "UNKNOWN", type(error).__name__)
        raise
    _end_when_done(span, call)
    return call


class CallSpan:
    """The span of a call that is being served; ended once, by the thread that serves it."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, code: str, reason: str | None) -> None:
        """The call ended with the gRPC status `code`, and where it failed with `reason`."""
        _end(self._span, code, reason, faults=_SERVER_FAULTS)


class Tracing:
    """Spans of one server, sent in batches by a thread of its own. Thread-safe.

    What the collector cannot take in time is dropped: no call ever waits for it.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("patchsearch")

    def serve(
        self,
        method: str,
        metadata: Iterable[tuple[str, str | bytes]] | None,
        request_id: str,
        *,
        parent_of_all: bool,
    ) -> CallSpan:
        """Starts the span of a call that came with `metadata`; a sampled caller's trace goes on.

        With `parent_of_all` it becomes the current one of this context. A stream, which may carry
        any number of requests, should not: its trace would never end.
        """
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {key: value for key, value in metadata or () if isinstance(value, str)}
        span = self._tracer.start_span(
            method.lstrip("/"),
            context=TraceContextTextMapPropagator().extract(headers, context=Context()),
            kind=trace.SpanKind.SERVER,
            attributes={**_rpc(method), REQUEST_ID: request_id},
        )
        if parent_of_all:
            _active.set(_Active(self._tracer, span))
        if span.is_recording():
            context = span.get_span_context()
            structlog.contextvars.bind_contextvars(
                trace_id=trace.format_trace_id(context.trace_id),
                span_id=trace.format_span_id(context.span_id),
            )
        return CallSpan(span)

    def close(self) -> None:
        """Sends what is left, for two seconds at most, and ends the thread."""
        # In a thread, because a collector that is away is tried for as long as an export may take.
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(_FLUSH_S)


def open_tracing(endpoint: str, share: float, service: str) -> Tracing:
    """Sends the spans of `service` to an OTLP/gRPC collector at "http(s)://host:port".

    `share` (0 to 1) of the traces that begin here are recorded. TLS for https, with the
    authorities of OTEL_EXPORTER_OTLP_CERTIFICATE or the system's. Does not wait for the collector.
    Raises FailedPrecondition TRACING_NOT_INSTALLED without the extra `tracing`.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise FailedPrecondition(
            "TRACING_NOT_INSTALLED",
            f"an OTLP endpoint is set and {error.name} is not installed: install "
            "patchsearch[tracing], or unset the endpoint",
        ) from error
    host = endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
    options: Any = (("grpc.enable_http_proxy", 0),) if is_loopback(host) else ()
    exporter = OTLPSpanExporter(
        endpoint=endpoint,
        insecure=endpoint.startswith("http://"),
        timeout=_EXPORT_S,
        channel_options=options,
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)),
        resource=Resource.create({"service.name": service}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


@contextmanager
def _child(active: _Active, name: str, attributes: dict[str, AttributeValue]) -> Iterator[None]:
    span = _start(active, name, "INTERNAL", attributes)
    token = _active.set(_Active(active.tracer, span))
    try:
        yield
    except BaseException as error:
        if isinstance(error, PatchsearchError):
            _end(span, error.code, error.reason)
        else:
            _end(span, "UNKNOWN", type(error).__name__)
        raise
    else:
        span.end()
    finally:
        _active.reset(token)


def _start(active: _Active, name: str, kind: str, attributes: dict[str, AttributeValue]) -> Span:
    from opentelemetry import trace
    from opentelemetry.context import Context

    return active.tracer.start_span(
        name,
        context=trace.set_span_in_context(active.span, Context()),
        kind=trace.SpanKind[kind],
        attributes=attributes,
    )


def _headers(span: Span) -> list[Pair]:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    context = trace.set_span_in_context(span, Context())
    TraceContextTextMapPropagator().inject(carrier, context=context)
    return list(carrier.items())


def _end_when_done(span: Span, call: Any) -> None:
    def done(finished: Any = call) -> None:
        code = finished.code()
        _end(span, "OK" if code is None else code.name, None)

    if hasattr(call, "add_done_callback"):
        call.add_done_callback(done)
    elif not call.add_callback(done):
        done()


def _end(span: Span, code: str, reason: str | None, *, faults: set[str] | None = None) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("rpc.response.status_code", code)
    if reason is not None:
        span.set_attribute("error.type", reason)
    if code != "OK" and (faults is None or code in faults):
        span.set_status(Status(StatusCode.ERROR, reason or code))
    span.end()


def _rpc(method: str) -> dict[str, AttributeValue]:
    return {"rpc.system.name": "grpc", "rpc.method": method.lstrip("/")}
