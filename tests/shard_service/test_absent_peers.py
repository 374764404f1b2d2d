"""Another shard that dies, or hangs, in the middle: a typed error in time, and then once more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import (
    ShardServiceServicer,
    add_ShardServiceServicer_to_server,
)
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from shard_service.replication.patience import Patience
from tests.shard_service.replica_shards import RunningShard, fill, refusal, running

FAILED = ("UNAVAILABLE", "SOURCE_FAILED")
QUICK = Patience(call_s=0.3, first_piece_s=0.3, piece_s=0.3)


class Halting(ShardServiceServicer):
    """Answers as another shard does, up to a point; then its process is stopped, or gone."""

    def __init__(self, behind: RunningShard) -> None:
        self._behind = behind.stub
        self.halts_at = ""
        self.pieces = 0
        self.reached = threading.Event()
        self.server: ServiceServer | None = None

    def CopyPartition(
        self, request: pb.CopyPartitionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.CopyPartitionResponse]:
        call = self._behind.CopyPartition(request)
        for number, piece in enumerate(call):
            if number == self.pieces:
                call.cancel()
                self._halt(context)
                return
            yield piece

    def _halt(self, context: grpc.ServicerContext) -> None:
        over = threading.Event()
        context.add_callback(over.set)
        self.reached.set()
        over.wait(30)

    def _answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        if method == self.halts_at:
            self._halt(context)
        return getattr(self._behind, method)(request)

    def DigestPartition(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("DigestPartition", request, context)

    def ListVersions(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("ListVersions", request, context)

    def GetImages(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("GetImages", request, context)


@pytest.fixture
def source(tmp_path: Path, rng: np.random.Generator) -> Iterator[RunningShard]:
    with running(tmp_path / "source") as one:
        fill(one, rng)
        yield one


@pytest.fixture
def halting(source: RunningShard) -> Iterator[Halting]:
    halting = Halting(source)
    service = Service(
        "patchsearch.shard.v1.ShardService", halting, add_ShardServiceServicer_to_server
    )
    with ServiceServer(ServiceSettings(drain_s=0), [service]) as server:
        halting.server = server
        yield halting


def pulled_afterwards(target: RunningShard, source: RunningShard) -> bool:
    assert not [*(target.data / "partitions").iterdir()]
    return not target.pull_from(source)[-1].already_held and target.digest() == source.digest()


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_source_that_hangs_is_given_up(
    tmp_path: Path, source: RunningShard, halting: Halting, pieces: int
) -> None:
    halting.pieces = pieces
    with running(tmp_path / "b", create=False, patience=QUICK) as target:
        assert halting.server is not None
        pull = pb.PullPartitionRequest(partition_id="p0", source=halting.server.address)
        began = time.monotonic()
        assert refusal(target.stub.PullPartition, pull) == FAILED
        assert time.monotonic() - began < 5
        assert pulled_afterwards(target, source)


def test_a_source_that_dies_in_the_middle(
    tmp_path: Path, source: RunningShard, halting: Halting
) -> None:
    halting.pieces = 1
    server = halting.server
    assert server is not None

    def die() -> None:
        halting.reached.wait(20)
        server.stop(0)

    dying = threading.Thread(target=die)
    dying.start()
    with running(tmp_path / "b", create=False) as target:
        pull = pb.PullPartitionRequest(partition_id="p0", source=server.address)
        assert refusal(target.stub.PullPartition, pull) == FAILED
        dying.join()
        assert pulled_afterwards(target, source)


def test_a_caller_that_leaves_frees_the_partition_though_the_source_hangs(
    tmp_path: Path, source: RunningShard, halting: Halting
) -> None:
    halting.pieces = 1
    with running(tmp_path / "b", create=False) as target:
        assert halting.server is not None
        pull = pb.PullPartitionRequest(partition_id="p0", source=halting.server.address)
        call = target.stub.PullPartition(pull, timeout=20)
        assert halting.reached.wait(20)
        call.cancel()  # type: ignore[no-untyped-call]
        until = time.monotonic() + 10
        while [*(target.data / "partitions").iterdir()]:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert pulled_afterwards(target, source)


def test_nothing_but_a_connection(tmp_path: Path, source: RunningShard) -> None:
    """Half-open: it is accepted, and not a word comes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running(tmp_path / "b", create=False, patience=QUICK) as target,
    ):
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        pull = pb.PullPartitionRequest(partition_id="p0", source=address)
        assert refusal(target.stub.PullPartition, pull) == FAILED
        assert pulled_afterwards(target, source)
        repair = pb.RepairPartitionRequest(partition_id="p0", source=address)
        assert refusal(target.stub.RepairPartition, repair) == FAILED


@pytest.mark.parametrize("method", ["DigestPartition", "ListVersions", "GetImages"])
def test_a_peer_that_hangs_in_a_repair_is_given_up(
    tmp_path: Path, source: RunningShard, halting: Halting, method: str
) -> None:
    halting.halts_at = method
    with running(tmp_path / "b", patience=QUICK) as target:
        assert halting.server is not None
        repair = pb.RepairPartitionRequest(partition_id="p0", source=halting.server.address)
        began = time.monotonic()
        assert refusal(target.stub.RepairPartition, repair) == FAILED
        assert time.monotonic() - began < 5
        assert target.repair_from(source) == (120, 0)
        assert target.digest() == source.digest()
