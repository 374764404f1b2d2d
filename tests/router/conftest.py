"""A router over shards that a test controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchsearch.shard.v1.shard_service_pb2_grpc import add_ShardServiceServicer_to_server
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from tests.contract.cluster import RunningRouter, serving_encoder, serving_router, write_placement
from tests.contract.fake_encoder import FakeEncoder
from tests.router.fake_shard import FakeShard


class Stage:
    """Starts shards, an encoder and routers, and stops them in the end."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.encoder = FakeEncoder()
        self.placement = directory / "placement.json"
        self.servers: list[ServiceServer] = []
        self._stack = stack
        self._encoder_address: str | None = None

    @property
    def encoder_address(self) -> str:
        if self._encoder_address is None:
            self._encoder_address = self._stack.enter_context(serving_encoder(self.encoder))
        return self._encoder_address

    def shard(self, shard: FakeShard) -> str:
        service = Service(
            "patchsearch.shard.v1.ShardService", shard, add_ShardServiceServicer_to_server
        )
        server = ServiceServer(ServiceSettings(drain_s=0), [service])
        self._stack.callback(shard.runs.set)
        self._stack.callback(shard.go_on.set)
        self._stack.callback(shard.writes_go_on.set)
        self.servers.append(self._stack.enter_context(server))
        return server.address

    def router(self, shards: list[FakeShard], **settings: object) -> RunningRouter:
        partitions = settings.pop("partitions", None)
        replicas = settings.pop("replicas", 1)
        write_placement(
            self.placement,
            [self.shard(shard) for shard in shards],
            partitions=partitions,  # type: ignore[arg-type]
            replicas=replicas,  # type: ignore[arg-type]
        )
        return self.start(**settings)

    def start(self, **settings: object) -> RunningRouter:
        return self._stack.enter_context(
            serving_router(self.placement, self.encoder_address, **settings)
        )


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path, stack)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Waits for something that happens in another thread; fails after ten seconds."""
    import time

    def wait(condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < ends, "it did not happen in time"
            time.sleep(0.01)

    return wait
