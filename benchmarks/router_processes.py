"""A shard and a router in processes of their own, over a data directory that is filled already."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import (
    EncoderServiceServicer,
    add_EncoderServiceServicer_to_server,
)
from patchsearch.v1 import search_service_pb2
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from router.placement import HASH_END
from service_runtime.clients import open_channel
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings

DIM = 512
FINGERPRINT = "b" * 32
PARTITION = "p0"


class NamedEncoder(EncoderServiceServicer):
    """Tells the router whose vectors these are; encodes nothing."""

    def GetEncoder(
        self, request: encoder_service_pb2.GetEncoderRequest, context: grpc.ServicerContext
    ) -> encoder_service_pb2.GetEncoderResponse:
        return encoder_service_pb2.GetEncoderResponse(
            name="benchmark", fingerprint=FINGERPRINT, dim=DIM
        )


@contextmanager
def program(module: str, ready: Path, *arguments: str) -> Iterator[int]:
    """A server in a process of its own, with its default settings; its port once that is open."""
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
        yield int(json.loads(ready.read_text())["port"])
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def cluster(directory: Path, data: Path) -> Iterator[SearchServiceStub]:
    """Shard and router over the data, as processes; a stub of the router."""
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
        shard = stack.enter_context(
            program("shard_service", directory / "shard.ready", "--data", str(data))
        )
        placement = directory / "placement.json"
        placement.write_text(
            json.dumps(
                {
                    "epoch": 1,
                    "partitions": [
                        {
                            "id": PARTITION,
                            "hash_start": f"{0:016x}",
                            "hash_end": f"{HASH_END:016x}",
                            "replicas": ["shard-0"],
                        }
                    ],
                    "shards": {"shard-0": f"127.0.0.1:{shard}"},
                }
            )
        )
        router = stack.enter_context(
            program(
                "router",
                directory / "router.ready",
                "--placement",
                str(placement),
                "--encoder",
                encoder.address,
            )
        )
        channel = stack.enter_context(open_channel(f"127.0.0.1:{router}"))
        stub = SearchServiceStub(channel)
        _wait_served(stub)
        yield stub


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
