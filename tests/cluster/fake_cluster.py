"""A placement file over fake shards, and routers in name that write and read beside operations."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cluster.events import Event
from cluster.operator import Operator, Outcome
from cluster.plan import Plan
from cluster.planning import Planner
from cluster.shards import Shards, connect_shards
from patchsearch.errors import PatchsearchError
from placement.changes import initial_placement
from placement.document import Placement, load_placement
from placement.file_store import FilePlacementStore
from tests.cluster.fake_shards import FakeShard


class Killed(Exception):
    """Ends an operation where it is, as a signal would."""


class FakeCluster:
    """`shards` fake shards in the placement as shard-0, shard-1, ...; the rest stand by."""

    def __init__(
        self,
        path: Path,
        fakes: Mapping[str, FakeShard],
        *,
        shards: int,
        partitions: int,
        replicas: int,
    ) -> None:
        self.addresses = {f"shard-{i}": address for i, address in enumerate(fakes)}
        self.fakes = {name: fakes[address] for name, address in self.addresses.items()}
        self.path = path
        self.store = FilePlacementStore(path)
        first = dict(list(self.addresses.items())[:shards])
        placement = initial_placement(first, partitions=partitions, replicas=replicas)
        self.store.replace(placement, None)
        for partition in placement.partitions:
            for replica in partition.replicas:
                self.fakes[replica.shard].hold(
                    partition.id, partition.hash_start, partition.hash_end
                )
        self.connections: Shards = connect_shards()
        self.operator = Operator(self.store, self.connections)
        self.acknowledged: set[str] = set()
        self._version = 0

    @property
    def placement(self) -> Placement:
        return load_placement(self.path)

    def shards_of(self, partition_id: str) -> list[str]:
        partition = self.placement.partition(partition_id)
        assert partition is not None
        return [replica.shard for replica in partition.replicas]

    def write(
        self,
        image_id: str,
        stale: Placement | None = None,
        misses: Callable[[str], bool] = lambda shard: False,
    ) -> None:
        """A router's write to all replicas; with a `stale` placement it finds out and asks again.

        `misses` says which joining shard the write does not reach.
        """
        self._version += 1
        for placement in (stale or self.placement, self.placement):
            partition = placement.partition_of(image_id)
            refused = False
            for replica in partition.written:
                joining = replica in partition.joining
                if joining and misses(replica.shard):
                    continue
                try:
                    self.fakes[replica.shard].write(
                        partition.id, image_id, self._version, placement.epoch
                    )
                except PatchsearchError as error:
                    assert error.reason in ("STALE_PLACEMENT", "PARTITION_NOT_FOUND")
                    refused |= not joining
            if not refused:
                self.acknowledged.add(image_id)
                return
        raise AssertionError(f"{image_id} was refused under the placement in force")

    def found(self, placement: Placement, chance: random.Random) -> set[str]:
        """What a search over one replica of each partition finds; raises what a shard raises."""
        images: set[str] = set()
        for partition in placement.partitions:
            replica = chance.choice(partition.replicas)
            images |= self.fakes[replica.shard].read(partition.id, placement.epoch)
        return images

    def search(self, stale: Placement, chance: random.Random) -> set[str]:
        """What a router finds that asks again once when it is told that its placement is stale."""
        try:
            return self.found(stale, chance)
        except PatchsearchError as error:
            assert error.reason in ("STALE_PLACEMENT", "PARTITION_NOT_FOUND")
            return self.found(self.placement, chance)

    def run(
        self,
        make: Callable[[Planner], Plan],
        tell: Callable[[Event], None] = lambda event: None,
        besides: Sequence[str] = (),
    ) -> Outcome:
        plan = self.operator.plan(make, {name: self.addresses[name] for name in besides})
        return self.operator.carry_out(plan, tell)

    def settled(self) -> None:
        """Every replica holds every acknowledged image, and nothing is where it should not be."""
        placement = self.placement
        survey = self.operator.survey()
        assert not survey.leftovers()
        for partition in placement.partitions:
            assert not partition.joining
            wanted = {i for i in self.acknowledged if placement.partition_of(i) == partition}
            for replica in partition.replicas:
                assert self.fakes[replica.shard].partitions[partition.id].live() == wanted

    def close(self) -> None:
        self.connections.close()


def killed_at(count: int, then: Callable[[Event], None]) -> Callable[[Event], None]:
    """Passes events on, and raises `Killed` at the one after `count`."""
    left = [count]

    def tell(event: Event) -> None:
        then(event)
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    return tell


def completes(
    cluster: FakeCluster,
    make: Callable[[Planner], Plan],
    tell: Callable[[Event], None],
    kill_after: int,
    besides: Sequence[str] = (),
) -> bool:
    """Runs an operation that is killed after some events, and again to its end; whether it was
    killed at all."""
    try:
        cluster.run(make, killed_at(kill_after, tell), besides)
    except Killed:
        cluster.run(make, tell, besides)
        return True
    return False
