"""Errors on the wire: patchsearch.errors <-> google.rpc.Status with one ErrorInfo.

A server attaches the status to a failed call as `grpc-status-details-bin`, and puts the same
message into results that fail on their own (one image of an ingest, one query of a batch). A
caller gets the class and the reason back that the server raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from patchsearch.errors import ERROR_CLASSES, PatchsearchError, ResourceExhausted

DOMAIN = "patchsearch"
"""`ErrorInfo.domain` of every error that this system raises on purpose."""

DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata key that carries the serialised google.rpc.Status."""

# HTTP/2 peers refuse header blocks over 8 KiB, and a status travels in one: twice its message,
# percent-encoded once and base64 once. What is longer is cut, never lost.
_MESSAGE_BYTES = 1200
_VALUE_BYTES = 300
_MAX_METADATA = 12

_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Reasons for failures that did not come from a patchsearch server's own code.
_TRANSPORT_REASONS = {
    grpc.StatusCode.UNAVAILABLE: "UNREACHABLE",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
    grpc.StatusCode.UNIMPLEMENTED: "NOT_OFFERED",
}


def status_proto(error: PatchsearchError) -> status_pb2.Status:
    """The google.rpc.Status of an error: code, message, ErrorInfo, and RetryInfo where it has one.

    The message is cut at 1200 bytes of UTF-8, each metadata value at 300. Thread-safe.
    """
    status = status_pb2.Status(
        code=grpc.StatusCode[error.code].value[0], message=_clip(error.message, _MESSAGE_BYTES)
    )
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={
            key: _clip(str(value), _VALUE_BYTES)
            for key, value in list(error.metadata.items())[:_MAX_METADATA]
        },
    )
    status.details.add().Pack(info)
    if isinstance(error, ResourceExhausted) and error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def error_from_status(status: status_pb2.Status) -> PatchsearchError:
    """The error that `status` describes; the inverse of `status_proto`. Thread-safe.

    A status of another domain, or without ErrorInfo, becomes the class of its code with a reason
    derived from the code. A code without a class of its own becomes a plain `PatchsearchError`
    whose reason is the code's name. `OK` is not an error: ValueError.
    """
    if status.code == 0:
        raise ValueError("a status of code OK describes no error")
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason = _TRANSPORT_REASONS.get(code, code.name)
    metadata: dict[str, str] = {}
    retry_after_s: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    cls = ERROR_CLASSES.get(code.name, PatchsearchError)
    if issubclass(cls, ResourceExhausted):
        return cls(reason, status.message, retry_after_s=retry_after_s, metadata=metadata)
    return cls(reason, status.message, metadata=metadata)


def error_from_rpc(error: grpc.RpcError) -> PatchsearchError:
    """The typed error behind a failed call. Thread-safe.

    Failures of the transport get reasons of their own: UNREACHABLE (nobody answers at the
    address), MESSAGE_TOO_LARGE, DEADLINE_EXCEEDED, CANCELLED. An RpcError that belongs to no call
    (grpc raises one where a stream was cancelled) is CANCELLED.
    """
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return PatchsearchError("CANCELLED", str(error) or "the call was cancelled")
    trailing = cast(Iterable[tuple[str, str | bytes]], error.trailing_metadata() or ())
    for key, value in trailing:
        if key == DETAILS_KEY:
            return error_from_status(status_pb2.Status.FromString(_as_bytes(value)))
    code = error.code() or grpc.StatusCode.UNKNOWN
    message = error.details() or code.name
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return ResourceExhausted(
            "MESSAGE_TOO_LARGE",
            f"{message}; send less in one call, or raise max_message_mb on both sides",
        )
    return error_from_status(status_pb2.Status(code=code.value[0], message=message))


def _as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _clip(text: str, limit: int) -> str:
    data = text.encode("utf-8", errors="replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[: limit - 3].decode("utf-8", errors="ignore") + "..."
