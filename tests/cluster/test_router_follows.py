"""A real router through every operation: no search and no write fails, and none is degraded."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.operator import Operator
from cluster.shards import connect_shards
from patchsearch.geometry import Box
from placement.file_store import FilePlacementStore
from tests.contract.cluster import Cluster, serving_encoder
from tests.contract.fake_encoder import FakeEncoder, vector_of


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[Cluster]:
    with serving_encoder(FakeEncoder()) as encoder:
        cluster = Cluster(tmp_path, 3, encoder, replicas=2)
        yield cluster
        cluster.close()


def test_traffic_through_a_router_goes_on(routed: Cluster) -> None:
    door = routed.door
    door.put_all([(f"image-{i}", [(Box(0, 0, 100, 100), i)]) for i in range(40)])
    stop = threading.Event()
    failures: list[BaseException] = []
    written = [f"image-{i}" for i in range(40)]

    def guarded(work: Callable[[int], None]) -> None:
        try:
            for number in itertools.count():
                if stop.is_set():
                    return
                work(number)
        except BaseException as error:
            failures.append(error)

    def write(number: int) -> None:
        door.put(f"live-{number}", [(Box(0, 0, 100, 100), 1000 + number)])
        written.append(f"live-{number}")

    def search(number: int) -> None:
        # The door refuses answers that are degraded.
        (best,) = door.search(vector_of(number % 40), 1)
        assert best.image_id == f"image-{number % 40}"

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, search)]
    for thread in threads:
        thread.start()
    with (
        closing(FilePlacementStore(routed.placement_path)) as store,
        closing(connect_shards()) as shards,
    ):
        operator = Operator(store, shards)
        shard_names = sorted(store.load().shards)
        for make in (
            lambda p: p.split(["p0"]),
            lambda p: p.set_replicas(3, ["p1"]),
            lambda p: p.set_replicas(2),
            lambda p: p.set_replicas(1, ["p2"]),
            lambda p: p.remove_shard(shard_names[0]),
        ):
            operator.carry_out(operator.plan(make), lambda event: None)
        stop.set()
        for thread in threads:
            thread.join(60)
        assert not failures, failures[0]
        assert sorted(door.ids()) == sorted(written)
        assert len(written) > 40
