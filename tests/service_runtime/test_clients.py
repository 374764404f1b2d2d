from __future__ import annotations

import threading
import time
from typing import Any

import grpc
import pytest

from patchsearch.errors import Unavailable
from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.v1 import search_service_pb2_grpc as stubs
from patchsearch.v1 import types_pb2
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings


class FakeFlakyServicer(stubs.SearchServiceServicer):
    """Unavailable for the first `failures` calls."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls += 1
        if self.calls <= self.failures:
            raise Unavailable("NOT_READY", "later")
        return messages.SearchResponse(epoch=self.calls)


def service(servicer: object) -> Service:
    add = stubs.add_SearchServiceServicer_to_server
    return Service("patchsearch.v1.SearchService", servicer, add)


def test_unavailable_is_tried_again() -> None:
    servicer = FakeFlakyServicer(failures=2)
    with ServiceServer(ServiceSettings(), [service(servicer)]) as server:
        with open_channel(server.address) as channel:
            stub = stubs.SearchServiceStub(channel)
            assert stub.Search(messages.SearchRequest(), timeout=10).epoch == 3


def test_unavailable_for_good_is_reported_with_its_reason() -> None:
    servicer = FakeFlakyServicer(failures=1000)
    with ServiceServer(ServiceSettings(), [service(servicer)]) as server:
        with open_channel(server.address) as channel, pytest.raises(grpc.RpcError) as raised:
            stubs.SearchServiceStub(channel).Search(messages.SearchRequest(), timeout=10)

    assert error_from_rpc(raised.value).reason == "NOT_READY"
    assert servicer.calls == 4


def test_a_proxy_in_the_environment_is_not_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    servicer = FakeFlakyServicer(failures=0)
    with ServiceServer(ServiceSettings(), [service(servicer)]) as server:
        with open_channel(server.address) as channel:
            stub = stubs.SearchServiceStub(channel)
            assert stub.Search(messages.SearchRequest(), timeout=10).epoch == 1


def test_a_restarted_server_is_found_again() -> None:
    servicer = FakeFlakyServicer(failures=0)
    first = ServiceServer(ServiceSettings(), [service(servicer)])
    first.start()
    settings = ServiceSettings(port=first.port)
    with open_channel(first.address) as channel:
        stub = stubs.SearchServiceStub(channel)
        stub.Search(messages.SearchRequest(), timeout=10)
        first.stop()
        with ServiceServer(settings, [service(servicer)]):
            until = time.monotonic() + 15
            epoch = 0
            while epoch == 0 and time.monotonic() < until:
                try:
                    epoch = stub.Search(messages.SearchRequest(), timeout=5).epoch
                except grpc.RpcError:
                    time.sleep(0.05)

    assert epoch == 2


def test_a_large_message_passes_where_both_sides_allow_it() -> None:
    text = "x" * (6 << 20)
    servicer = FakeFlakyServicer(failures=0)
    with ServiceServer(ServiceSettings(max_message_mb=8), [service(servicer)]) as server:
        with open_channel(server.address, max_message_mb=8) as channel:
            request = messages.SearchRequest(terms=[types_pb2.Term(text=text)])
            assert stubs.SearchServiceStub(channel).Search(request, timeout=10).epoch == 1


def test_one_channel_serves_many_threads() -> None:
    servicer = FakeFlakyServicer(failures=0)
    with ServiceServer(ServiceSettings(), [service(servicer)]) as server:
        with open_channel(server.address) as channel:
            stub = stubs.SearchServiceStub(channel)
            threads = [
                threading.Thread(
                    target=lambda: [stub.Search(messages.SearchRequest(), timeout=10) for _ in "ab"]
                )
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    assert servicer.calls == 16
