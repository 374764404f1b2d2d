from __future__ import annotations

import threading
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from patchsearch.errors import FailedPrecondition, PatchsearchError, Unavailable
from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.wire.status import error_from_rpc
from service_runtime.server import ServiceServer
from service_runtime.settings import ServiceSettings

SERVICE = "patchsearch.v1.SearchService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health(running: Any, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(running.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
    return int(answer.status)


def search_failure(running: Any) -> PatchsearchError:
    with pytest.raises(grpc.RpcError) as raised:
        running.stub.Search(messages.SearchRequest(), timeout=20)
    return error_from_rpc(raised.value)


def test_health_speaks_for_the_server_and_for_each_service(serve: Any) -> None:
    running = serve()

    assert health(running) == health(running, SERVICE) == SERVING


def test_before_it_is_warm_it_says_so(serve: Any) -> None:
    running = serve(started=False)

    assert health(running) == health(running, SERVICE) == NOT_SERVING
    error = search_failure(running)
    assert isinstance(error, Unavailable)
    assert error.reason == "NOT_READY"
    assert "starting" in error.message

    running.server.set_serving(True)

    assert health(running) == SERVING
    assert running.stub.Search(messages.SearchRequest(), timeout=20) == messages.SearchResponse()


def test_readiness_runs_behind_an_open_port(serve: Any) -> None:
    ran = []
    running = serve(readiness=lambda: ran.append(True))

    assert ran == [True]
    assert health(running) == SERVING


def test_what_readiness_raises_passes_through_and_the_port_is_free_again() -> None:
    def readiness() -> None:
        raise FailedPrecondition("ENCODER_MISMATCH", "another one")

    server = ServiceServer(ServiceSettings(), [], readiness=readiness)

    with pytest.raises(FailedPrecondition, match="ENCODER_MISMATCH"):
        server.start()
    with ServiceServer(ServiceSettings(port=server.port), []) as again:
        assert again.port == server.port


def test_a_watcher_hears_of_the_end(serve: Any) -> None:
    running = serve(drain_s=0.5)
    stub = health_pb2_grpc.HealthStub(running.channel)
    heard = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)

    assert next(heard).status == SERVING
    running.server.stop()
    assert next(heard).status == NOT_SERVING


def test_reflection_lists_the_services(serve: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(serve().channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])

    (answer,) = stub.ServerReflectionInfo(asked, timeout=20)

    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


def test_draining_finishes_running_calls_and_refuses_new_ones(serve: Any) -> None:
    begun, release = threading.Event(), threading.Event()

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        begun.set()
        release.wait(30)
        return messages.SearchResponse(epoch=7)

    running = serve(search=search, drain_s=10)
    call = running.stub.Search.future(messages.SearchRequest(), timeout=30)
    assert begun.wait(20)
    outcome: list[bool] = []
    stopping = threading.Thread(target=lambda: outcome.append(running.server.stop()))
    stopping.start()
    until = time.monotonic() + 20
    while health(running) != NOT_SERVING and time.monotonic() < until:
        time.sleep(0.01)

    error = search_failure(running)
    release.set()
    stopping.join(30)

    assert health_after_stop(running) is grpc.StatusCode.UNAVAILABLE
    assert isinstance(error, Unavailable)
    assert error.reason == "NOT_READY"
    assert "stopping" in error.message
    assert call.result().epoch == 7
    assert outcome == [True]


def health_after_stop(running: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        health(running)
    code = raised.value.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def test_a_call_that_outlasts_the_drain_is_cut_off(serve: Any) -> None:
    begun, release = threading.Event(), threading.Event()

    def search(request: Any, context: grpc.ServicerContext) -> Any:
        begun.set()
        release.wait(20)
        return messages.SearchResponse()

    running = serve(search=search)
    call = running.stub.Search.future(messages.SearchRequest(), timeout=20)
    assert begun.wait(20)

    finished = running.server.stop(0.1)
    release.set()

    assert finished is False
    assert call.code() is grpc.StatusCode.UNAVAILABLE


def test_a_port_in_use_is_named_with_flag_and_variable(serve: Any) -> None:
    taken = serve().server.port

    with pytest.raises(FailedPrecondition) as raised:
        ServiceServer(ServiceSettings(port=taken), []).start()

    assert raised.value.reason == "PORT_TAKEN"
    assert str(taken) in raised.value.message
    assert "--port or PORT" in raised.value.message


def test_a_metrics_port_in_use_is_named_too(serve: Any) -> None:
    taken = serve().server.port

    with pytest.raises(FailedPrecondition) as raised:
        ServiceServer(ServiceSettings(metrics_port=taken), []).start()

    assert raised.value.reason == "PORT_TAKEN"
    assert "--metrics-port" in raised.value.message


def test_a_host_that_is_not_here_is_refused() -> None:
    with pytest.raises(FailedPrecondition) as raised:
        ServiceServer(ServiceSettings(host="192.0.2.1"), []).start()

    assert raised.value.reason == "PORT_UNUSABLE"
    assert "192.0.2.1" in raised.value.message


def test_a_message_over_the_limit_is_refused_with_the_remedy(serve: Any) -> None:
    running = serve(max_message_mb=1)
    request = messages.SearchRequest()
    request.terms.add(text="x" * (2 << 20))

    with pytest.raises(grpc.RpcError) as raised:
        running.stub.Search(request, timeout=20)

    error = error_from_rpc(raised.value)
    assert error.reason == "MESSAGE_TOO_LARGE"
    assert "max_message_mb" in error.message
