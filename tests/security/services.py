"""Every service of the protos, served by something that answers every call."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from patchsearch.cluster.v1 import cluster_service_pb2
from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2
from patchsearch.wire.status import error_from_rpc
from service_runtime.server import Service

MODULES = (search_service_pb2, shard_service_pb2, encoder_service_pb2, cluster_service_pb2)
TIMEOUT_S = 20


def descriptors() -> list[ServiceDescriptor]:
    """The services of all protos."""
    return [
        service for module in MODULES for service in module.DESCRIPTOR.services_by_name.values()
    ]


@dataclass(frozen=True)
class Rpc:
    """One call of one service."""

    method: MethodDescriptor

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    def __str__(self) -> str:
        return f"{self.method.containing_service.name}.{self.method.name}"

    def call(self, channel: grpc.Channel, token: str | None = None) -> str:
        """OK, or the reason of the refusal."""
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        request = message_factory.GetMessageClass(self.method.input_type)()
        answer = message_factory.GetMessageClass(self.method.output_type)
        kind = (
            ("stream" if self.method.client_streaming else "unary")
            + "_"
            + ("stream" if self.method.server_streaming else "unary")
        )
        start = getattr(channel, kind)(
            self.path, type(request).SerializeToString, answer.FromString
        )
        sent = iter([request]) if self.method.client_streaming else request
        try:
            result = start(sent, timeout=TIMEOUT_S, metadata=metadata)
            if self.method.server_streaming:
                list(result)
        except grpc.RpcError as error:
            return reason_of(error_from_rpc(error))
        return "OK"


def reason_of(error: PatchsearchError) -> str:
    return f"{error.code} {error.reason}"


RPCS = [Rpc(method) for service in descriptors() for method in service.methods]


def answering(service: ServiceDescriptor) -> Service:
    """The service, whose every call is answered by an empty message."""
    module = importlib.import_module(
        service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc"
    )

    def unary(answer: Any) -> Any:
        return lambda self, request, context: answer()

    def stream(answer: Any) -> Any:
        def serve(self: Any, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            yield answer()

        return serve

    methods = {
        method.name: (stream if method.server_streaming else unary)(
            message_factory.GetMessageClass(method.output_type)
        )
        for method in service.methods
    }
    servicer = type("Answering", (getattr(module, f"{service.name}Servicer"),), methods)
    add = getattr(module, f"add_{service.name}Servicer_to_server")
    return Service(service.full_name, servicer(), add)
