"""A cluster of real processes, every shard behind a link that can fail."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from placement.document import Placement, load_placement
from service_runtime.clients import open_channel
from tests.chaos.cluster.fault_proxy import FaultProxy
from tests.chaos.cluster.processes import Server

SHARD_FLAGS = (
    *("--min-train-patches", "600"),
    *("--seal-patches", "1500"),
    *("--map-gb", "0.02"),
    *("--drain-s", "2"),
)


@dataclass(frozen=True)
class Shape:
    """How large a cluster is."""

    shards: int = 3
    partitions: int = 6
    replicas: int = 2
    routers: int = 2
    skew_s: float = 0.0
    """How far ahead the clock of the last router is."""
    shard_flags: tuple[str, ...] = SHARD_FLAGS
    router_flags: tuple[str, ...] = ()


@dataclass
class World:
    """The running processes and the links between them."""

    room: Path
    shape: Shape
    proxy: FaultProxy
    placement_path: Path
    shards: dict[str, Server] = field(default_factory=dict)
    routers: list[Server] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    large_writes: threading.Event = field(default_factory=threading.Event)
    """While it is set, writers send new images with much metadata: stores have to grow."""
    refused_for_disk: Callable[[], int] = lambda: 0
    """Writes so far that failed because a shard's disk was full."""
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    @property
    def placement(self) -> Placement:
        """As it is in its file now."""
        return load_placement(self.placement_path)

    def add_shard(self, name: str) -> str:
        """Starts one more shard behind a link; returns the address that others reach it by."""
        server = Server(
            name,
            (
                "shard_service",
                *("--data", str(self.room / "data" / name)),
                *("--name", name),
                *self.shape.shard_flags,
            ),
            self.room,
        )
        self.stack.callback(server.close)
        server.start()
        server.wait_ready()
        self.shards[name] = server
        return f"127.0.0.1:{self.proxy.link(name, server.port)}"

    def shard_stub(self, name: str) -> ShardServiceStub:
        """A shard, asked directly and not over its link."""
        return ShardServiceStub(self._channel(self.shards[name].address))

    def router_stub(self, index: int) -> SearchServiceStub:
        """A router, as callers reach it, with the retries of the client library."""
        return SearchServiceStub(self._channel(self.routers[index].address))

    def _channel(self, address: str) -> grpc.Channel:
        if address not in self._channels:
            self._channels[address] = open_channel(address)
            self.stack.callback(self._channels[address].close)
        return self._channels[address]


def write_equal_placement(path: Path, addresses: dict[str, str], shape: Shape) -> None:
    """Equal hash ranges, their replicas dealt out in turn."""
    names = list(addresses)
    edges = [2**64 * i // shape.partitions for i in range(shape.partitions + 1)]
    document = {
        "epoch": 1,
        "partitions": [
            {
                "id": f"p{i}",
                "hash_start": f"{edges[i]:016x}",
                "hash_end": f"{edges[i + 1] - 1:016x}",
                "replicas": [names[(i + r) % len(names)] for r in range(shape.replicas)],
            }
            for i in range(shape.partitions)
        ],
        "shards": addresses,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document))
    part.replace(path)


@contextmanager
def running_world(room: Path, shape: Shape) -> Iterator[World]:
    """A cluster that serves; everything is ended afterwards."""
    room.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy())
        world = World(room, shape, proxy, room / "placement.json")
        stack.callback(world.stack.close)
        encoder = Server("encoder", ("tests.chaos.cluster.encoder",), room)
        world.stack.callback(encoder.close)
        encoder.start()
        addresses = {}
        for index in range(shape.shards):
            addresses[f"shard-{index}"] = world.add_shard(f"shard-{index}")
        write_equal_placement(world.placement_path, addresses, shape)
        encoder.wait_ready()
        for index in range(shape.routers):
            world.routers.append(_router(world, index, encoder.address))
        for router in world.routers:
            router.wait_ready()
        yield world


def _router(world: World, index: int, encoder: str) -> Server:
    shape = world.shape
    skewed = shape.skew_s != 0 and index == shape.routers - 1
    module: Sequence[str] = ("router",)
    if skewed:
        module = ("tests.chaos.cluster.skewed_router", str(shape.skew_s))
    server = Server(
        f"router-{index}",
        (
            *module,
            *("--placement", str(world.placement_path)),
            *("--encoder", encoder),
            *("--placement-poll-s", "0.2"),
            "--create-partitions",
            *shape.router_flags,
        ),
        world.room,
    )
    world.stack.callback(server.close)
    server.start()
    return server


def command(*arguments: str) -> list[str]:
    """The command line of `patchsearch` with these arguments."""
    return [sys.executable, "-m", "patchsearch", *arguments]
