"""Channels to other services: kept alive, retried where that is safe, with one message limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from patchsearch.ports import is_loopback
from patchsearch.wire.security import PLAIN, host_of, open_plain_or_tls
from service_runtime import request_id
from service_runtime.renewing_channel import RenewingChannel
from service_runtime.tls import ChannelSecurity
from service_runtime.tracing import Pair, traced

_RETRY_BUFFER_BYTES = 8 * 1024 * 1024


# UNAVAILABLE says that the call was not worked on, or that it may be repeated; writes carry
# versions, so a repeated one changes nothing. Throttled, so that a dead server is not hammered.
def _service_config(max_attempts: int) -> str:
    method: dict[str, Any] = {"name": [{}]}
    if max_attempts > 1:
        method["retryPolicy"] = {
            "maxAttempts": max_attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
    return json.dumps(
        {"methodConfig": [method], "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5}}
    )


def open_channel(
    address: str,
    *,
    max_message_mb: int = 64,
    max_attempts: int = 4,
    security: ChannelSecurity | None = None,
) -> grpc.Channel:
    """A channel to `host:port`; it connects at the first call and again whenever it must.

    Calls answered UNAVAILABLE are tried up to `max_attempts` (1 to 5) times within their deadline,
    about 0.1, 0.3 and 0.9 s apart (gRFC A6). A request id that this thread serves under is passed
    on. `security` (`ServiceSettings.channel_security`) gives TLS and the token; renewed
    certificates are taken up. The caller closes the channel. Thread-safe.

    Raises InvalidArgument TOKEN_WITHOUT_TLS, FailedPrecondition TLS_FILE_UNREADABLE.
    """
    limit = max_message_mb * 1024 * 1024
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", _service_config(max_attempts)),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        # A restarted server is found again within seconds.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 3000),
    ]
    if is_loopback(host_of(address)):
        # http_proxy is for other machines; grpc would send even these calls through it.
        options.append(("grpc.enable_http_proxy", 0))
    chosen = security or PLAIN
    channel: grpc.Channel
    if chosen.files:
        channel = RenewingChannel(lambda: open_plain_or_tls(address, chosen, options), chosen.files)
    else:
        channel = open_plain_or_tls(address, chosen, options)
    return grpc.intercept_channel(channel, _OnEveryCall(chosen))


class _CallDetails(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


if TYPE_CHECKING:  # generic in the stubs only

    class _EveryCall(
        grpc.UnaryUnaryClientInterceptor[Any, Any],
        grpc.UnaryStreamClientInterceptor[Any, Any],
        grpc.StreamUnaryClientInterceptor[Any, Any],
        grpc.StreamStreamClientInterceptor[Any, Any],
    ): ...

else:

    class _EveryCall(
        grpc.UnaryUnaryClientInterceptor,
        grpc.UnaryStreamClientInterceptor,
        grpc.StreamUnaryClientInterceptor,
        grpc.StreamStreamClientInterceptor,
    ): ...


class _OnEveryCall(_EveryCall):
    """Adds to the calls made for the call being served its id and trace, and the token."""

    def __init__(self, security: ChannelSecurity) -> None:
        self._security = security

    def _continue(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        added = list(self._security.metadata())
        current = request_id.current_request_id()
        if current is not None:
            added.append((request_id.HEADER, current))
        if not added:
            return continuation(details, request)

        def send(headers: list[Pair]) -> Any:
            ours = [*added, *headers]
            replaced = {name for name, _ in ours}
            metadata = [pair for pair in details.metadata or () if pair[0] not in replaced]
            extended = _CallDetails(
                details.method,
                details.timeout,
                [*metadata, *ours],
                details.credentials,
                details.wait_for_ready,
                details.compression,
            )
            return continuation(extended, request)

        return traced(details.method, send)

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._continue(continuation, client_call_details, request)

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._continue(continuation, client_call_details, request)

    def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._continue(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._continue(continuation, client_call_details, request_iterator)
