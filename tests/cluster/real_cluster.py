"""Real shards in this process, a placement file, and a client that keeps to it as routers do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cluster.events import Event
from cluster.founding import found_cluster
from cluster.operator import Operator, Outcome
from cluster.plan import Plan
from cluster.planning import Planner
from cluster.shards import connect_shards
from placement.changes import initial_placement
from placement.document import Placement, load_placement
from placement.file_store import FilePlacementStore
from service_runtime.server import ServiceServer
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from tests.cluster.placed_client import ENCODER, PlacedClient


class RealCluster:
    """`shards` real shards of a placement, and `spare` that stand by; shard-0, shard-1, ..."""

    def __init__(
        self,
        directory: Path,
        shards: int,
        spare: int,
        partitions: int,
        replicas: int,
        found: bool = True,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.path = directory / "placement.json"
        self._directory = directory
        self._running: dict[str, tuple[ServiceServer, Shard]] = {}
        self._ports: dict[str, int] = {}
        names = [f"shard-{i}" for i in range(shards + spare)]
        with ExitStack() as stack:
            stack.callback(self._stop_all)
            for name in names:
                self.start(name)
            self.addresses = {name: f"127.0.0.1:{self._ports[name]}" for name in names}
            store = FilePlacementStore(self.path)
            connections = connect_shards()
            stack.callback(connections.close)
            self.operator = Operator(store, connections)
            first = {name: self.addresses[name] for name in names[:shards]}
            placement = initial_placement(first, partitions=partitions, replicas=replicas)
            if found:
                found_cluster(store, connections, placement, ENCODER, lambda event: None)
            self.client = PlacedClient(self.path)
            stack.callback(self.client.close)
            self._stack = stack.pop_all()

    @property
    def placement(self) -> Placement:
        return load_placement(self.path)

    def data(self, name: str) -> Path:
        return self._directory / name

    def start(self, name: str) -> None:
        settings = ShardSettings(
            data=self.data(name),
            port=self._ports.get(name, 0),
            drain_s=0,
            map_gb=0.02,
            log_level="error",
        )
        shard = Shard(settings.data, settings.partition_options())
        roots = [str(self._directory)]
        server = ServiceServer(settings, [shard_service(shard, roots)], readiness=shard.open)
        server.start()
        self._running[name] = server, shard
        self._ports[name] = server.port

    def stop(self, name: str) -> None:
        server, shard = self._running.pop(name)
        server.stop(0)
        shard.close()

    def run(
        self,
        make: Callable[[Planner], Plan],
        tell: Callable[[Event], None] = lambda event: None,
        besides: Sequence[str] = (),
    ) -> Outcome:
        plan = self.operator.plan(make, {name: self.addresses[name] for name in besides})
        return self.operator.carry_out(plan, tell)

    def settled(self) -> None:
        """Every replica holds what was acknowledged, in that version, and no shard holds more."""
        placement = self.placement
        survey = self.operator.survey()
        assert not survey.leftovers()
        for partition in placement.partitions:
            assert not partition.joining
            wanted = {
                image_id: version
                for image_id, version in self.client.acknowledged.items()
                if placement.partition_of(image_id) == partition
            }
            for replica in partition.replicas:
                assert self.client.image_ids(replica.shard, partition.id) == wanted
            copies = [survey.held(replica.shard, partition.id) for replica in partition.replicas]
            assert len({copy.digest for copy in copies if copy}) == 1

    def close(self) -> None:
        self._stack.close()

    def _stop_all(self) -> None:
        for name in list(self._running):
            self.stop(name)


@contextmanager
def real_cluster(
    directory: Path,
    *,
    shards: int = 3,
    spare: int = 1,
    partitions: int = 6,
    replicas: int = 2,
    found: bool = True,
) -> Iterator[RealCluster]:
    """A cluster while it serves; `found`: with a placement and empty partitions."""
    cluster = RealCluster(directory, shards, spare, partitions, replicas, found)
    try:
        yield cluster
    finally:
        cluster.close()
