"""Callers that watch a server's health or read its reflection, hold on or leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from patchsearch.errors import PatchsearchError
from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from tests.service_runtime.conftest import Serve

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def test_watches_that_come_and_go_leave_the_server_well(serve: Serve) -> None:
    running = serve()

    def come_and_go(number: int) -> None:
        with open_channel(running.server.address) as channel:
            health = HealthStub(channel)
            for turn in range(50):
                watch = health.Watch(HealthCheckRequest(), timeout=20)
                if (turn + number) % 3:
                    assert next(iter(watch)).status in (SERVING, NOT_SERVING)
                watch.cancel()

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(come_and_go, number) for number in range(4)]
        while not all(caller.done() for caller in callers):
            running.server.set_serving(False)
            running.server.set_serving(True)
    for caller in callers:
        caller.result()
    assert HealthStub(running.channel).Check(HealthCheckRequest(), timeout=5).status == SERVING
    began = time.monotonic()
    assert running.server.stop(10)
    assert time.monotonic() - began < 5


def test_a_watch_is_told_of_the_stop_and_ends(serve: Serve) -> None:
    running = serve()
    watch = HealthStub(running.channel).Watch(HealthCheckRequest(), timeout=20)
    assert next(iter(watch)).status == SERVING
    stopping = threading.Thread(target=running.server.stop, args=(10,))
    stopping.start()
    assert [answer.status for answer in watch] == [NOT_SERVING]
    assert watch.code() is grpc.StatusCode.OK
    stopping.join(5)
    assert not stopping.is_alive()


def test_a_change_is_told(serve: Serve) -> None:
    running = serve()
    told = iter(HealthStub(running.channel).Watch(HealthCheckRequest(), timeout=20))
    assert next(told).status == SERVING
    running.server.set_serving(False)
    assert next(told).status == NOT_SERVING
    running.server.set_serving(True)
    assert next(told).status == SERVING


def test_streams_that_are_held_open_keep_no_worker(serve: Serve) -> None:
    running = serve(workers=2)
    reflection, health = ServerReflectionStub(running.channel), HealthStub(running.channel)
    over = threading.Event()

    def ask() -> Iterator[ServerReflectionRequest]:
        yield ServerReflectionRequest(list_services="")
        over.wait(30)

    held = [reflection.ServerReflectionInfo(ask(), timeout=30) for _ in range(4)]
    held += [health.Watch(HealthCheckRequest(), timeout=30) for _ in range(4)]
    for call in held:
        next(iter(call))
    running.stub.Search(messages.SearchRequest(), timeout=10)
    over.set()
    for call in held:
        call.cancel()


def test_more_streams_than_there_are_threads_for_are_refused(serve: Serve) -> None:
    running = serve()
    health = HealthStub(running.channel)
    held = [health.Watch(HealthCheckRequest(), timeout=30) for _ in range(64)]
    for call in held:
        next(iter(call))
    waits = health.Watch(HealthCheckRequest(), timeout=30)
    refused: PatchsearchError | None = None
    until = time.monotonic() + 20
    while refused is None and time.monotonic() < until:
        try:
            next(iter(health.Watch(HealthCheckRequest(), timeout=1)))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                refused = error_from_rpc(error)
    assert refused is not None and refused.reason == "OVERLOADED"
    assert health.Check(HealthCheckRequest(), timeout=5).status == SERVING
    running.stub.Search(messages.SearchRequest(), timeout=10)
    for call in (*held, waits):
        call.cancel()


def test_a_message_that_cannot_be_read_is_told_so(serve: Serve) -> None:
    channel = serve().channel
    reflect = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    calls = (
        lambda: channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff", timeout=10),
        lambda: list(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff", timeout=10)),
        lambda: list(channel.stream_stream(reflect)(iter([b"\xff"]), timeout=10)),
    )
    for call in calls:
        with pytest.raises(grpc.RpcError) as raised:
            call()
        assert error_from_rpc(raised.value).reason == "MESSAGE_INVALID"
