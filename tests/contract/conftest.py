"""The same cases on the oracle, on one shard and on three."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.cluster import Cluster, serving_encoder
from tests.contract.doors import Door, OracleDoor, RouterDoor
from tests.contract.fake_encoder import FakeEncoder


class Clusters:
    """One cluster for each number of shards, started when first asked for."""

    def __init__(self, directory: Path, encoder_address: str, stack: ExitStack) -> None:
        self._directory = directory
        self._encoder_address = encoder_address
        self._stack = stack
        self._running: dict[int, Cluster] = {}

    def of(self, shards: int) -> Cluster:
        if shards not in self._running:
            directory = self._directory / f"of-{shards}"
            directory.mkdir()
            cluster = Cluster(directory, shards, self._encoder_address)
            self._stack.callback(cluster.close)
            self._running[shards] = cluster
        return self._running[shards]


@pytest.fixture(scope="session")
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture(scope="session")
def encoder_address(encoder: FakeEncoder) -> Iterator[str]:
    with serving_encoder(encoder) as address:
        yield address


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory, encoder_address: str) -> Iterator[Clusters]:
    with ExitStack() as stack:
        yield Clusters(tmp_path_factory.mktemp("clusters"), encoder_address, stack)


@pytest.fixture(params=[1, 3], ids=["one-shard", "three-shards"])
def clean_router(request: pytest.FixtureRequest, clusters: Clusters) -> Callable[[], RouterDoor]:
    """Empties the collection and gives its router."""
    return clusters.of(request.param).empty


@pytest.fixture
def router(clean_router: Callable[[], RouterDoor]) -> RouterDoor:
    """A router over an empty collection."""
    return clean_router()


@pytest.fixture(params=["oracle", 1, 3], ids=["oracle", "one-shard", "three-shards"])
def empty(request: pytest.FixtureRequest, clusters: Clusters) -> Door:
    """An empty collection, whoever keeps it."""
    return OracleDoor() if request.param == "oracle" else clusters.of(request.param).empty()


@pytest.fixture
def own_cluster(tmp_path: Path, encoder_address: str) -> Iterator[Cluster]:
    """Three shards that a test may stop."""
    cluster = Cluster(tmp_path, 3, encoder_address)
    yield cluster
    cluster.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Waits for something that happens in another thread; fails after ten seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < ends, "it did not happen in time"
            time.sleep(0.01)

    return wait
