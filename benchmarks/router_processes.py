"""Shards and a router in processes of their own, over data directories that are filled already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import (
    EncoderServiceServicer,
    add_EncoderServiceServicer_to_server,
)
from patchsearch.v1 import search_service_pb2
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from placement.document import HASH_END
from service_runtime.clients import open_channel
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings

DIM = 512
FINGERPRINT = "b" * 32


class NamedEncoder(EncoderServiceServicer):
    """Tells the router whose vectors these are; encodes nothing."""

    def GetEncoder(
        self, request: encoder_service_pb2.GetEncoderRequest, context: grpc.ServicerContext
    ) -> encoder_service_pb2.GetEncoderResponse:
        return encoder_service_pb2.GetEncoderResponse(
            name="benchmark", fingerprint=FINGERPRINT, dim=DIM
        )


@dataclass(frozen=True)
class Running:
    """A server's port and process."""

    port: int
    pid: int


@contextmanager
def program(module: str, ready: Path, *arguments: str) -> Iterator[Running]:
    """A server in a process of its own, with its default settings, once its port is open."""
    command = [sys.executable, "-m", module, "--port", "0", "--ready-file", str(ready)]
    log = ready.with_suffix(".log")
    with log.open("wb") as errors:
        process = subprocess.Popen([*command, *arguments], stderr=errors)
    try:
        ends = time.monotonic() + 120
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{module} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield Running(int(json.loads(ready.read_text())["port"]), process.pid)
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class RunningCluster:
    """A router's stub, and the processes of the shards behind it."""

    stub: SearchServiceStub
    shard_pids: tuple[int, ...]

    def shards_cpu_s(self) -> float:
        """Processor seconds that the shards have taken so far."""
        return sum(_cpu_s(pid) for pid in self.shard_pids)


def ranges(count: int) -> list[tuple[str, int, int]]:
    """Equal parts of the hash space: partition id, first and last hash."""
    edges = [(HASH_END + 1) * i // count for i in range(count + 1)]
    return [(f"p{i}", edges[i], edges[i + 1] - 1) for i in range(count)]


@contextmanager
def cluster(directory: Path, data: Sequence[Path], *shard_flags: str) -> Iterator[RunningCluster]:
    """Shards over the data, one a directory and partition, and a router, as processes."""
    with ExitStack() as stack:
        encoder = ServiceServer(
            ServiceSettings.model_validate({}),
            [
                Service(
                    "patchsearch.encoder.v1.EncoderService",
                    # What it does not implement answers UNIMPLEMENTED.
                    NamedEncoder(),  # type: ignore[abstract]
                    add_EncoderServiceServicer_to_server,
                )
            ],
        )
        stack.enter_context(encoder)
        shards = [
            stack.enter_context(
                program(
                    "shard_service",
                    directory / f"shard-{len(data)}-{i}.ready",
                    *("--data", str(path)),
                    *shard_flags,
                )
            )
            for i, path in enumerate(data)
        ]
        placement = directory / f"placement-{len(data)}.json"
        document = {
            "epoch": 1,
            "partitions": [
                {
                    "id": name,
                    "hash_start": f"{start:016x}",
                    "hash_end": f"{end:016x}",
                    "replicas": [f"shard-{i}"],
                }
                for i, (name, start, end) in enumerate(ranges(len(data)))
            ],
            "shards": {f"shard-{i}": f"127.0.0.1:{s.port}" for i, s in enumerate(shards)},
        }
        placement.write_text(json.dumps(document))
        router = stack.enter_context(
            program(
                "router",
                directory / f"router-{len(data)}.ready",
                *("--placement", str(placement)),
                *("--encoder", encoder.address),
            )
        )
        channel = stack.enter_context(open_channel(f"127.0.0.1:{router.port}"))
        stub = SearchServiceStub(channel)
        _wait_served(stub)
        yield RunningCluster(stub, tuple(shard.pid for shard in shards))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_served(stub: SearchServiceStub) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            stub.DescribeCollection(search_service_pb2.DescribeCollectionRequest(), timeout=5)
            return
        except grpc.RpcError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
