"""Calls of any method with any bytes, and what may come back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2

CALL_S = 20.0
REFUSED_WITH = frozenset(
    {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        "UNIMPLEMENTED",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "OUT_OF_RANGE",
    }
)
"""INTERNAL, UNKNOWN and DATA_LOSS are not among them."""

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class RawCall:
    """One call: what it tries, where, and the bytes of its messages."""

    name: str
    server: str
    method: MethodDescriptor
    messages: tuple[bytes, ...]
    compressed: bool = False

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended, after how long, and what it cost the servers."""

    code: str
    message: str
    seconds: float
    cpu_s: float = 0.0


def methods() -> Mapping[str, tuple[MethodDescriptor, ...]]:
    """Every method that a server offers: encoder, shard, router."""
    services = {
        "encoder": encoder_service_pb2.DESCRIPTOR.services_by_name["EncoderService"],
        "shard": shard_service_pb2.DESCRIPTOR.services_by_name["ShardService"],
        "router": search_service_pb2.DESCRIPTOR.services_by_name["SearchService"],
    }
    return {server: tuple(service.methods) for server, service in services.items()}


def method(server: str, name: str) -> MethodDescriptor:
    """One of them."""
    return next(m for m in methods()[server] if m.name == name)


class RawChannel:
    """Sends bytes as they are to one server. A context manager."""

    def __init__(self, address: str) -> None:
        big = 512 << 20
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_send_message_length", big),
                ("grpc.max_receive_message_length", big),
                ("grpc.enable_retries", 0),
                ("grpc.enable_http_proxy", 0),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )

    def __enter__(self) -> RawChannel:
        return self

    def __exit__(self, *exception: object) -> None:
        self._channel.close()

    def answer(self, call: RawCall, timeout_s: float = CALL_S) -> Answer:
        """Makes the call and waits for its end."""
        started = time.monotonic()
        compression = grpc.Compression.Gzip if call.compressed else None
        code, message = "OK", ""
        try:
            for response in self._responses(call, timeout_s, compression):
                for status in _statuses(GetMessageClass(call.method.output_type)(), response):
                    if code in REFUSED_WITH:  # what must not be stays
                        code, message = _CODES[status.code], status.message
        except grpc.RpcError as error:
            code, message = error.code().name, error.details() or ""
        return Answer(code, message, time.monotonic() - started)

    def _responses(
        self, call: RawCall, timeout_s: float, compression: grpc.Compression | None
    ) -> Iterable[bytes]:
        streams = call.method.client_streaming, call.method.server_streaming
        make = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, False): self._channel.stream_unary,
            (True, True): self._channel.stream_stream,
        }[streams]
        # Bytes in, bytes out: nothing on this side looks at them.
        sent = iter(call.messages) if streams[0] else call.messages[0]
        received = make(call.path)(sent, timeout=timeout_s, compression=compression)
        return received if streams[1] else (received,)


def _statuses(message: Message, data: bytes | None = None) -> Iterator[status_pb2.Status]:
    """What an answer says of single images, searches and partitions that failed."""
    if data is not None:
        message.ParseFromString(data)
    if isinstance(message, status_pb2.Status):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for inner in value if field.is_repeated else (value,):
            yield from _statuses(inner)
