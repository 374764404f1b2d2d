from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from patchsearch.errors import (
    ERROR_CLASSES,
    InternalError,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    ResourceExhausted,
    Unimplemented,
)
from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.wire.status import error_from_rpc
from service_runtime.request_id import current_request_id

SEARCH = "/patchsearch.v1.SearchService/Search"
INGEST = "/patchsearch.v1.SearchService/IngestImages"


def raising(error: Exception) -> Any:
    def behavior(request: Any, context: grpc.ServicerContext) -> Any:
        raise error

    return behavior


def failure(call: Any) -> PatchsearchError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return error_from_rpc(raised.value)


@pytest.mark.parametrize("cls", ERROR_CLASSES.values(), ids=lambda cls: cls.__name__)
def test_a_typed_error_reaches_the_caller_as_it_was_raised(serve: Any, cls: Any) -> None:
    running = serve(search=raising(cls("SOME_REASON", "zu groß: 9 > 8", metadata={"limit": "8"})))

    error = failure(lambda: running.stub.Search(messages.SearchRequest(), timeout=20))

    assert type(error) is cls
    assert (error.reason, error.message) == ("SOME_REASON", "zu groß: 9 > 8")
    assert error.metadata["limit"] == "8"


def test_when_to_come_back_reaches_the_caller(serve: Any) -> None:
    running = serve(search=raising(ResourceExhausted("OVERLOADED", "full", retry_after_s=1.5)))

    error = failure(lambda: running.stub.Search(messages.SearchRequest(), timeout=20))

    assert isinstance(error, ResourceExhausted)
    assert error.retry_after_s == 1.5


def test_an_error_in_a_stream_comes_after_what_was_sent(serve: Any) -> None:
    def ingest(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            yield messages.IngestImagesResponse(image_id=request.image_id)
        raise NotFound("PARTITION_NOT_FOUND", "gone")

    running = serve(ingest=ingest)
    sent = iter([messages.IngestImagesRequest(image_id=name) for name in "ab"])
    received = []

    def read() -> None:
        for response in running.stub.IngestImages(sent, timeout=20):
            received.append(response.image_id)

    error = failure(read)

    assert received == ["a", "b"]
    assert isinstance(error, NotFound)
    assert error.reason == "PARTITION_NOT_FOUND"


def test_a_defect_is_internal_under_the_request_id(serve: Any) -> None:
    running = serve(search=raising(ZeroDivisionError("secret detail")))

    metadata = (("x-request-id", "abc-1"),)
    error = failure(
        lambda: running.stub.Search(messages.SearchRequest(), timeout=20, metadata=metadata)
    )

    assert isinstance(error, InternalError)
    assert "abc-1" in error.message
    assert error.metadata["request_id"] == "abc-1"
    assert "secret" not in error.message


def test_a_method_that_the_servicer_lacks_is_unimplemented(serve: Any) -> None:
    running = serve()

    error = failure(lambda: running.stub.GetImage(messages.GetImageRequest(), timeout=20))

    assert isinstance(error, Unimplemented)
    assert error.reason == "NOT_OFFERED"


def test_a_servicers_own_abort_is_left_alone(serve: Any) -> None:
    def search(request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.ALREADY_EXISTS, "as it was")

    running = serve(search=search)

    with pytest.raises(grpc.RpcError) as raised:
        running.stub.Search(messages.SearchRequest(), timeout=20)

    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert raised.value.details() == "as it was"


def test_a_failed_downstream_call_keeps_its_reason_and_request_id(serve: Any) -> None:
    behind = serve(search=raising(InvalidArgument("K_OUT_OF_RANGE", "k is 0")))
    front = serve(search=lambda request, context: behind.stub.Search(request, timeout=20))

    metadata = (("x-request-id", "from-the-caller"),)
    error = failure(
        lambda: front.stub.Search(messages.SearchRequest(), timeout=20, metadata=metadata)
    )

    assert isinstance(error, InvalidArgument)
    assert error.reason == "K_OUT_OF_RANGE"
    assert error.metadata["request_id"] == "from-the-caller"


def test_every_answer_names_its_request(serve: Any) -> None:
    seen = []

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        seen.append(current_request_id())
        return messages.SearchResponse()

    running = serve(search=search)

    _, call = running.stub.Search.with_call(messages.SearchRequest(), timeout=20)
    _, other = running.stub.Search.with_call(
        messages.SearchRequest(), timeout=20, metadata=(("x-request-id", "not fit: spaces"),)
    )

    answered = [dict(c.trailing_metadata())["x-request-id"] for c in (call, other)]
    assert answered == seen
    assert len(set(answered)) == 2
    assert all(len(rid) == 32 for rid in answered)


def test_a_call_without_a_deadline_has_the_servers(serve: Any) -> None:
    seen = []

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        seen.append(context.time_remaining())
        return messages.SearchResponse()

    running = serve(search=search, default_deadline_s=7)

    running.stub.Search(messages.SearchRequest())
    running.stub.Search(messages.SearchRequest(), timeout=3)

    assert 6 < seen[0] <= 7
    assert 2 < seen[1] < 4


def test_a_stream_without_a_deadline_is_bounded_at_every_step_only(serve: Any) -> None:
    def ingest(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in requests:
            time.sleep(0.15)
            yield messages.IngestImagesResponse(image_id=f"{context.time_remaining():.1f}")

    running = serve(ingest=ingest, default_deadline_s=0.2)

    sent = iter([messages.IngestImagesRequest()] * 3)
    assert [r.image_id for r in running.stub.IngestImages(sent)] == ["0.2", "0.2", "0.2"]


def held_search() -> tuple[threading.Event, threading.Semaphore, Any]:
    """A search that answers once the event is set, and a semaphore that counts those begun."""
    release, begun = threading.Event(), threading.Semaphore(0)

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        begun.release()
        release.wait(30)
        return messages.SearchResponse()

    return release, begun, search


def first_refusal(running: Any) -> PatchsearchError | None:
    """Searches until one is refused; None where that takes too long."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            running.stub.Search(messages.SearchRequest(), timeout=0.5)
        except grpc.RpcError as raised:
            if raised.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return error_from_rpc(raised)
    return None


def test_more_calls_than_may_wait_are_refused_and_health_still_answers(serve: Any) -> None:
    release, begun, search = held_search()
    running = serve(search=search, workers=1, max_waiting=1)
    first = running.stub.Search.future(messages.SearchRequest(), timeout=30)
    assert begun.acquire(timeout=20)
    second = running.stub.Search.future(messages.SearchRequest(), timeout=30)
    health = health_pb2_grpc.HealthStub(running.channel)

    # The second call waits for the only worker; only what was sent after it is refused for sure.
    error = first_refusal(running)
    status = health.Check(health_pb2.HealthCheckRequest(), timeout=20).status
    release.set()

    assert isinstance(error, ResourceExhausted)
    assert (error.reason, error.retry_after_s) == ("OVERLOADED", 1.0)
    assert status == health_pb2.HealthCheckResponse.SERVING
    assert first.result() == second.result() == messages.SearchResponse()


def test_metrics_count_calls_by_method_and_code(serve: Any) -> None:
    def ingest(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in requests:
            yield messages.IngestImagesResponse()

    running = serve(search=raising(NotFound("X", "x")), ingest=ingest, metrics_port=0)
    for _ in range(2):
        failure(lambda: running.stub.Search(messages.SearchRequest(), timeout=20))
    list(running.stub.IngestImages(iter([messages.IngestImagesRequest()]), timeout=20))

    with urlopen(f"http://127.0.0.1:{running.server.metrics_port}/metrics", timeout=20) as answer:
        text = answer.read().decode()

    assert f'patchsearch_calls_total{{code="NOT_FOUND",method="{SEARCH}"}} 2.0' in text
    assert f'patchsearch_calls_total{{code="OK",method="{INGEST}"}} 1.0' in text
    assert f'patchsearch_call_seconds_count{{code="OK",method="{INGEST}"}} 1.0' in text
    assert f'patchsearch_calls_running{{method="{SEARCH}"}} 0.0' in text
    assert "process_resident_memory_bytes" in text


def test_a_caller_who_leaves_is_counted_as_cancelled(serve: Any) -> None:
    registry = CollectorRegistry()
    left = threading.Event()

    def ingest(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(left.set)
        yield messages.IngestImagesResponse()
        left.wait(10)
        yield messages.IngestImagesResponse()

    running = serve(ingest=ingest, registry=registry)
    call = running.stub.IngestImages(iter([messages.IngestImagesRequest()]), timeout=30)
    next(call)
    call.cancel()
    running.server.stop()

    labels = {"method": INGEST, "code": "CANCELLED"}
    assert registry.get_sample_value("patchsearch_calls_total", labels) == 1.0


def test_while_a_call_waits_too_long_new_ones_are_refused(serve: Any) -> None:
    release, begun, search = held_search()
    running = serve(search=search, workers=1, max_wait_s=0.05)
    held = [running.stub.Search.future(messages.SearchRequest(), timeout=30) for _ in range(2)]
    assert begun.acquire(timeout=20)
    error = first_refusal(running)
    release.set()

    assert isinstance(error, ResourceExhausted) and error.reason == "OVERLOADED"
    assert [call.result() for call in held] == [messages.SearchResponse()] * 2
    # Nobody waits any more.
    assert running.stub.Search(messages.SearchRequest(), timeout=20) == messages.SearchResponse()
