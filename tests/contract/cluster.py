"""A router, its encoder and its shards in one process, each on a port of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.wire.status import error_from_rpc
from placement.document import load_placement
from router.clock import HybridLogicalClock
from router.program import Router
from router.settings import RouterSettings
from service_runtime.clients import open_channel
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from tests.contract.doors import CALL_TIMEOUT_S, RouterDoor
from tests.contract.fake_encoder import FakeEncoder


@contextmanager
def serving_encoder(encoder: FakeEncoder) -> Iterator[str]:
    """The encoder's address while it serves."""
    service = Service(
        "patchsearch.encoder.v1.EncoderService", encoder, add_EncoderServiceServicer_to_server
    )
    with ServiceServer(ServiceSettings(drain_s=0), [service]) as server:
        yield server.address


def write_placement(
    path: Path,
    addresses: Sequence[str],
    *,
    epoch: int = 1,
    partitions: int | None = None,
    replicas: int = 1,
) -> list[str]:
    """Equal hash ranges dealt out to the shards in turn, their replicas to the shards after that;
    returns the ids of the partitions."""
    count = len(addresses) if partitions is None else partitions
    edges = [2**64 * i // count for i in range(count + 1)]
    document = {
        "epoch": epoch,
        "partitions": [
            {
                "id": f"p{i}",
                "hash_start": f"{edges[i]:016x}",
                "hash_end": f"{edges[i + 1] - 1:016x}",
                "replicas": [f"shard-{(i + r) % len(addresses)}" for r in range(replicas)],
            }
            for i in range(count)
        ],
        "shards": {f"shard-{i}": address for i, address in enumerate(addresses)},
    }
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)
    return [f"p{i}" for i in range(count)]


class RunningRouter:
    """A router that serves; `stub` calls it."""

    def __init__(self, settings: RouterSettings, clock: HybridLogicalClock | None = None) -> None:
        with ExitStack() as stack:
            self.router = Router(settings, clock=clock)
            stack.callback(self.router.close)
            self.server = stack.enter_context(
                ServiceServer(
                    settings,
                    [self.router.service],
                    readiness=self.router.warm_up,
                    registry=self.router.registry,
                )
            )
            channel = open_channel(self.server.address, max_attempts=1)
            stack.callback(channel.close)
            self.stub = SearchServiceStub(channel)
            self._stack = stack.pop_all()

    def close(self) -> None:
        self._stack.close()


@contextmanager
def serving_router(
    placement: Path,
    encoder_address: str,
    *,
    clock: HybridLogicalClock | None = None,
    **settings: object,
) -> Iterator[RunningRouter]:
    """A router over a placement file; `settings` go on top of those that suit tests."""
    values: dict[str, object] = {
        "port": 0,
        "placement": placement,
        "encoder": encoder_address,
        "create_partitions": True,
        "startup_timeout_s": 20.0,
        "placement_poll_s": 0.05,
        "drain_s": 0.5,
        "repair_interval_s": 0.3,
    }
    router = RunningRouter(RouterSettings(**{**values, **settings}), clock)  # type: ignore[arg-type]
    try:
        yield router
    finally:
        router.close()


def refused(
    call: grpc.UnaryUnaryMultiCallable, request: object, **kwargs: object
) -> PatchsearchError:
    """The typed error that a call ends with."""
    try:
        call(request, **{"timeout": CALL_TIMEOUT_S, **kwargs})
    except grpc.RpcError as error:
        return error_from_rpc(error)
    raise AssertionError("the call was expected to be refused")


class Cluster:
    """Real shards over data directories of their own, and a router in front of them."""

    def __init__(
        self, directory: Path, shards: int, encoder_address: str, *, replicas: int = 1
    ) -> None:
        self.placement_path = directory / "placement.json"
        self.encoder_address = encoder_address
        self._directory = directory
        self._servers: list[tuple[ServiceServer, Shard] | None] = [None] * shards
        self._ports = [0] * shards
        with ExitStack() as stack:
            for index in range(shards):
                stack.callback(self.stop_shard, index)
                self.start_shard(index)
            addresses = [f"127.0.0.1:{port}" for port in self._ports]
            write_placement(self.placement_path, addresses, replicas=replicas)
            router = stack.enter_context(
                # A busy machine needs more time to send an answer than a server does.
                serving_router(self.placement_path, encoder_address, merge_reserve_ms=200)
            )
            self.router = router
            self.door = RouterDoor(router.stub)
            self.router_address = router.server.address
            self._stack = stack.pop_all()

    def shard_of(self, image_id: str) -> int:
        """Which shard holds the first replica of an image."""
        return load_placement(self.placement_path).partitions.index(
            load_placement(self.placement_path).partition_of(image_id)
        )

    def port_of(self, index: int) -> int:
        return self._ports[index]

    def start_shard(self, index: int) -> None:
        """Starts a shard on its data, where it was before."""
        settings = ShardSettings(
            data=self._directory / f"shard-{index}", port=self._ports[index], drain_s=0, map_gb=0.02
        )
        shard = Shard(settings.data, settings.partition_options())
        server = ServiceServer(settings, [shard_service(shard)], readiness=shard.open)
        server.start()
        self._servers[index] = (server, shard)
        self._ports[index] = server.port

    def stop_shard(self, index: int) -> None:
        """Stops a shard; again is not an error."""
        running, self._servers[index] = self._servers[index], None
        if running is not None:
            server, shard = running
            server.stop(0)
            shard.close()

    def shard_stub(self, index: int) -> ShardServiceStub:
        """A shard that runs, asked directly."""
        channel = open_channel(f"127.0.0.1:{self._ports[index]}")
        self._stack.callback(channel.close)
        return ShardServiceStub(channel)

    def lose_disk(self, index: int) -> None:
        """Stops a shard and takes its data away."""
        self.stop_shard(index)
        shutil.rmtree(self._directory / f"shard-{index}")

    def empty(self) -> RouterDoor:
        """The router's door, with nothing behind it."""
        ids = self.door.ids(page_size=1000)
        for start in range(0, len(ids), 1000):
            self.door.delete(*ids[start : start + 1000])
        left = self.door.ids()
        assert not left, f"deleted and still there: {left[:5]}"
        return self.door

    def close(self) -> None:
        self._stack.close()
