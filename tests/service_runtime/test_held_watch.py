from __future__ import annotations

import threading
import time

import grpc
import pytest

from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.v1 import search_service_pb2_grpc as stubs
from service_runtime.clients import open_channel
from service_runtime.held_watch import hold_watch
from tests.service_runtime.conftest import Serve


def answering_threads(channel: grpc.Channel, calls: int = 5) -> set[int]:
    """The threads that so many calls, one after the other, were seen to by."""
    stub, threads = stubs.SearchServiceStub(channel), set()
    for _ in range(calls):
        seen = threading.Event()

        def done(_: object, seen: threading.Event = seen) -> None:
            threads.add(threading.get_native_id())
            seen.set()

        call = stub.Search.future(messages.SearchRequest(), timeout=10)
        call.add_done_callback(done)
        assert seen.wait(10)
        call.result()
        time.sleep(0.02)  # for a thread that has nothing more to do to end
    return threads


def test_one_thread_sees_to_all_calls(serve: Serve) -> None:
    channel = serve().channel
    assert len(answering_threads(channel)) > 1
    hold_watch(channel)
    answering_threads(channel, 1)
    assert len(answering_threads(channel)) == 1


def test_a_server_that_stops_does_not_wait_for_it(serve: Serve) -> None:
    running = serve()
    hold_watch(running.channel)
    answering_threads(running.channel, 1)
    began = time.monotonic()
    assert running.server.stop(10)
    assert time.monotonic() - began < 0.8


def test_it_comes_back_after_a_restart(serve: Serve) -> None:
    running = serve()
    hold_watch(running.channel)
    answering_threads(running.channel, 1)
    running.server.stop(0)
    serve(port=running.server.port)
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            if len(answering_threads(running.channel)) == 1:
                return
        except grpc.RpcError:
            time.sleep(0.1)
    pytest.fail("calls still start threads")


def test_it_ends_with_the_channel(serve: Serve) -> None:
    before = set(threading.enumerate())
    with open_channel(serve().server.address) as channel:
        hold_watch(channel)
        answering_threads(channel, 1)
    ends = time.monotonic() + 10
    while any(t.name == "held-watch" for t in set(threading.enumerate()) - before):
        assert time.monotonic() < ends
        time.sleep(0.01)
