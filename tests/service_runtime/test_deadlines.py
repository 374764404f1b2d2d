from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from patchsearch.errors import DeadlineExceeded
from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.wire.status import error_from_rpc
from service_runtime.deadlines import remaining_s


def test_what_is_left_is_the_callers_deadline_less_the_reserve(serve: Any) -> None:
    seen = []

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        seen.append((remaining_s(context), remaining_s(context, reserve_s=2)))
        return messages.SearchResponse()

    serve(search=search).stub.Search(messages.SearchRequest(), timeout=10)

    (whole, reserved) = seen[0]
    assert 9 < whole < 11
    assert 7 < reserved < 9


def test_nothing_left_is_deadline_exceeded(serve: Any) -> None:
    def search(request: Any, context: grpc.ServicerContext) -> Any:
        remaining_s(context, reserve_s=60)

    running = serve(search=search)

    with pytest.raises(grpc.RpcError) as raised:
        running.stub.Search(messages.SearchRequest(), timeout=10)

    error = error_from_rpc(raised.value)
    assert isinstance(error, DeadlineExceeded)
    assert error.reason == "DEADLINE_EXCEEDED"
    assert "60 s" in error.message


def test_the_caller_gets_its_deadline_even_when_the_servicer_does_not_look(serve: Any) -> None:
    def search(request: Any, context: grpc.ServicerContext) -> Any:
        while context.is_active():
            time.sleep(0.01)
        return messages.SearchResponse()

    running = serve(search=search)

    with pytest.raises(grpc.RpcError) as raised:
        running.stub.Search(messages.SearchRequest(), timeout=0.2)

    assert isinstance(error_from_rpc(raised.value), DeadlineExceeded)
