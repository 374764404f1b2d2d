"""How much one token may ask for."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from patchsearch.errors import ResourceExhausted
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import search_service_pb2_grpc as stubs
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from service_runtime.quota import Meter
from service_runtime.roles import Role
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from service_runtime.token_file import Quota
from tests.security.conftest import Tokens

SERVICE = "patchsearch.v1.SearchService"
MISSING = "UNAUTHENTICATED TOKEN_MISSING"


class Held(stubs.SearchServiceServicer):
    """Searches that wait until they are let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.begun.release()
        self.go_on.wait(20)
        return pb.SearchResponse()


@pytest.fixture
def held(stack: ExitStack) -> Held:
    servicer = Held()
    stack.callback(servicer.go_on.set)
    return servicer


def stub(stack: ExitStack, servicer: Held, tokens: Tokens) -> stubs.SearchServiceStub:
    service = Service(SERVICE, servicer, stubs.add_SearchServiceServicer_to_server)
    settings = ServiceSettings(drain_s=1, tokens=tokens.file)
    server = stack.enter_context(ServiceServer(settings, [service]))
    return stubs.SearchServiceStub(stack.enter_context(open_channel(server.address)))


def refused(call: Any) -> ResourceExhausted:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error = error_from_rpc(raised.value)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "QUOTA_EXCEEDED"
    assert error.retry_after_s is not None and error.retry_after_s > 0
    return error


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def test_calls_a_second(held: Held, tokens: Tokens, stack: ExitStack) -> None:
    slow = tokens.add(Role.READER, name="slow", rate=0.01, burst=2)
    other = tokens.add(Role.READER, name="other")
    held.go_on.set()
    service = stub(stack, held, tokens)

    for _ in range(2):
        service.Search(pb.SearchRequest(), metadata=bearer(slow), timeout=20)
    error = refused(lambda: service.Search(pb.SearchRequest(), metadata=bearer(slow), timeout=20))

    assert error.metadata["quota"] == "rate"
    assert 50 < (error.retry_after_s or 0) <= 100
    service.Search(pb.SearchRequest(), metadata=bearer(other), timeout=20)


def test_calls_side_by_side(held: Held, tokens: Tokens, stack: ExitStack) -> None:
    token = tokens.add(Role.READER, concurrency=2)
    service = stub(stack, held, tokens)
    running = [
        service.Search.future(pb.SearchRequest(), metadata=bearer(token), timeout=20)
        for _ in range(2)
    ]
    for _ in running:
        assert held.begun.acquire(timeout=20)

    error = refused(lambda: service.Search(pb.SearchRequest(), metadata=bearer(token), timeout=20))
    held.go_on.set()
    for future in running:
        future.result()

    assert error.metadata["quota"] == "concurrency"
    service.Search(pb.SearchRequest(), metadata=bearer(token), timeout=20)


def test_what_was_used_stays_used_when_the_file_changes(
    held: Held, tokens: Tokens, stack: ExitStack
) -> None:
    slow = tokens.add(Role.READER, rate=0.01, burst=1)
    held.go_on.set()
    service = stub(stack, held, tokens)
    service.Search(pb.SearchRequest(), metadata=bearer(slow), timeout=20)

    tokens.add(Role.READER, name="another")

    refused(lambda: service.Search(pb.SearchRequest(), metadata=bearer(slow), timeout=20))


def test_the_bucket_fills_with_time() -> None:
    now = 0.0
    meter = Meter("a", Quota(rate=2, burst=3), clock=lambda: now)

    def taken() -> int:
        count = 0
        while True:
            try:
                meter.spend()
            except ResourceExhausted:
                return count
            count += 1

    assert taken() == 3
    now = 0.5
    assert taken() == 1
    now = 1000.0
    assert taken() == 3
