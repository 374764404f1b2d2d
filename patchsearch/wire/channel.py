"""How both clients connect, and how they tell what went wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from patchsearch.errors import DeadlineExceeded, PatchsearchError, Unavailable
from patchsearch.wire.status import error_from_rpc

DEFAULT_ADDRESS = "127.0.0.1:7100"
"""Where `patchsearch serve` listens by default."""

_SERVICE = "patchsearch.v1.SearchService"
# Every unary call may be repeated: reads change nothing, and deleting twice deletes once. One is
# not, ExplainSelection: the router repeats it at the encoder, and somebody waits who can ask again.
_REPEATABLE = (
    "Search",
    "BatchSearch",
    "DeleteImages",
    "GetImage",
    "ListImages",
    "DescribeCollection",
)
# What grpc says of calls that this side gave up itself: it cancelled them, or closed the channel.
_CANCELLED_HERE = ("Locally cancelled", "Channel closed", "Channel is closed", "the call was")
_SERVICE_CONFIG: Mapping[str, Any] = {
    "methodConfig": [
        {
            "name": [{"service": _SERVICE, "method": method} for method in _REPEATABLE],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                # A call that reaches a server in the moment in which it stops ends CANCELLED.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}


def channel_options(max_message_mb: int) -> Sequence[tuple[str, Any]]:
    """gRPC channel arguments: message limits, retries of unary calls, keepalive."""
    limit = max_message_mb * 1024 * 1024
    return (
        ("grpc.max_send_message_length", limit),
        ("grpc.max_receive_message_length", limit),
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        # A call that outgrows this buffer is not retried; crops are often over the default 256 KiB.
        ("grpc.per_rpc_retry_buffer_size", 16 * 1024 * 1024),
        # A restarted server is found again within seconds.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 3000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A proxy for the web is no way to a service on this machine or in this cluster.
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", "patchsearch-client"),
    )


def error_of_call(error: grpc.RpcError, address: str, timeout_s: float) -> PatchsearchError:
    """The typed error behind a failed call, naming the address or the limit where that helps."""
    typed = error_from_rpc(error)
    if isinstance(typed, Unavailable) and typed.reason == "UNREACHABLE":
        reason, message = _unreachable(address, typed.message)
        return Unavailable(reason, message, metadata={"address": address, "details": typed.message})
    if typed.reason == "CANCELLED" and not typed.message.startswith(_CANCELLED_HERE):
        return Unavailable(
            "CALL_CANCELLED",
            f"{address} ended the call without an answer, as a server that stops does; try again",
            metadata={"address": address, "details": typed.message},
        )
    if isinstance(typed, DeadlineExceeded) and typed.reason == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(
            typed.reason,
            f"no answer from {address} within {timeout_s:g} s; give the call more time",
            metadata={"address": address, **typed.metadata},
        )
    return typed


def _unreachable(address: str, details: str) -> tuple[str, str]:
    """Reason and message for a connection that failed; grpc tells how in words only."""
    if "handshake failed" in details:
        return "TLS_FAILED", (
            f"no TLS with {address} ({details.rpartition('OPENSSL_internal:')[2]}); check that the "
            "authority that was given (--tls-ca) signed the server's certificate, that this is for "
            "the name in the address, and that the server speaks TLS"
        )
    if "failed to connect" in details and "Socket closed" in details:
        return "UNREACHABLE", (
            f"{address} closes every connection; it may speak TLS (--tls-ca) or ask for a "
            "certificate (--tls-cert and --tls-key)"
        )
    return "UNREACHABLE", (
        f"nobody answers at {address}; start `patchsearch serve` or give the right address"
    )
