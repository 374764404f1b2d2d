from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.v1 import search_service_pb2_grpc as stubs
from service_runtime.clients import open_channel
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings

SERVICE = "patchsearch.v1.SearchService"
Behavior = Callable[[Any, grpc.ServicerContext], Any]


class FakeSearchServicer(stubs.SearchServiceServicer):
    """Does what the test says: `search` answers Search, `ingest` answers IngestImages."""

    def __init__(self, search: Behavior | None = None, ingest: Behavior | None = None) -> None:
        self._search = search
        self._ingest = ingest

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self._search is None:
            return messages.SearchResponse()
        return self._search(request, context)

    def IngestImages(self, request_iterator: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if self._ingest is None:
            return iter(())
        return self._ingest(request_iterator, context)


@dataclass(frozen=True)
class Running:
    """A server on a free port and a way to call it."""

    server: ServiceServer
    channel: grpc.Channel
    stub: stubs.SearchServiceStub


Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(search=..., ingest=..., readiness=..., registry=..., **settings) -> Running."""
    with ExitStack() as stack:

        def start(
            *,
            search: Behavior | None = None,
            ingest: Behavior | None = None,
            readiness: Callable[[], None] | None = None,
            registry: CollectorRegistry | None = None,
            started: bool = True,
            **settings: Any,
        ) -> Running:
            servicer = FakeSearchServicer(search, ingest)
            service = Service(SERVICE, servicer, stubs.add_SearchServiceServicer_to_server)
            server = ServiceServer(
                ServiceSettings(**{"drain_s": 2, **settings}),
                [service],
                readiness=readiness,
                registry=registry,
            )
            server.start(serving=started)
            stack.callback(server.stop)
            channel = stack.enter_context(open_channel(server.address))
            return Running(server, channel, stubs.SearchServiceStub(channel))

        yield start
