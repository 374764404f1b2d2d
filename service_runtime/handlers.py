"""gRPC's method handlers: what serves a method, and the same method served by something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from patchsearch.errors import InvalidArgument

Behavior = Callable[[Any, grpc.ServicerContext], Any]

if TYPE_CHECKING:  # generic in the stubs only
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Stands for a message whose bytes are not what the method takes."""

    why: str


def behavior_of(handler: Handler) -> Behavior:
    """The function that serves the calls of a handler, whatever kind they are.

    It raises InvalidArgument (MESSAGE_INVALID) for a message that cannot be read: grpc alone would
    call that INTERNAL.
    """
    found = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    if found is None:
        raise TypeError("the handler implements no call type")
    behavior: Behavior = found

    def serve(request: Any, context: grpc.ServicerContext) -> Any:
        return behavior(_readable(request), context)

    def serve_stream(requests: Any, context: grpc.ServicerContext) -> Any:
        return behavior(map(_readable, requests), context)

    return serve_stream if handler.request_streaming else serve


def remade(handler: Handler, behavior: Behavior) -> Handler:
    """A handler of the same kind and messages, served by `behavior`."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(
        behavior,
        request_deserializer=_forgiving(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _forgiving(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception as error:
            return _Unreadable(str(error) or type(error).__name__)

    return read


def _readable(message: Any) -> Any:
    if isinstance(message, _Unreadable):
        raise InvalidArgument(
            "MESSAGE_INVALID",
            f"the message cannot be read: {message.why}; make it with the protos of this server",
        )
    return message
