"""Shards and commands as processes of their own; a command is killed in the middle of a move."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from cluster.founding import found_cluster
from cluster.operator import Operator
from cluster.shards import connect_shards
from patchsearch.cluster.v1 import cluster_service_pb2
from patchsearch.cluster.v1.cluster_service_pb2_grpc import ClusterServiceStub
from placement.changes import initial_placement
from placement.file_store import FilePlacementStore
from service_runtime.clients import open_channel
from tests.cluster.placed_client import ENCODER, PlacedClient, units
from tests.cluster.shard_processes import server_process, shard_process


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("shards")
        names = [f"shard-{i}" for i in range(3)]
        yield {name: stack.enter_context(shard_process(folder / name)) for name in names}


def cluster_command(path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "patchsearch", "cluster", *arguments, "--placement", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_a_killed_command_is_gone_on_with(tmp_path: Path, addresses: dict[str, str]) -> None:
    path = tmp_path / "placement.json"
    store, shards = FilePlacementStore(path), connect_shards()
    client = PlacedClient(path)
    with ExitStack() as stack:
        stack.callback(shards.close)
        stack.callback(client.close)
        first = dict(list(addresses.items())[:2])
        placement = initial_placement(first, partitions=4, replicas=1)
        found_cluster(store, shards, placement, ENCODER, lambda event: None)
        client.put([f"image-{i}" for i in range(200)])
        queries = units(5, seed=1)
        before = [client.search(query) for query in queries]
        arguments = ["add-shard", "shard-2", addresses["shard-2"]]
        process = cluster_command(path, *arguments)
        assert process.stderr is not None
        for line in process.stderr:
            if "joining" in line:
                process.kill()
                break
        process.communicate(timeout=30)
        assert process.returncode == -9
        assert any(partition.joining for partition in store.load().partitions)
        client.put([f"later-{i}" for i in range(50)])
        done = cluster_command(path, *arguments)
        printed, errors = done.communicate(timeout=120)
        assert done.returncode == 0, errors
        assert "bytes copied" in printed
        survey = Operator(store, shards).survey()
        assert not survey.leftovers()
        held: dict[str, int] = {}
        for partition in survey.placement.partitions:
            assert not partition.joining
            (replica,) = partition.replicas
            held |= client.image_ids(replica.shard, partition.id)
        assert held == client.acknowledged
        assert {r.shard for p in survey.placement.partitions for r in p.replicas} == set(addresses)
        after = [client.search(query, 50) for query in queries]
        assert [
            [hit for hit in hits if hit[1].startswith("image-")][:10] for hits in after
        ] == before


def test_a_controller_asks_the_operators_program(tmp_path: Path, addresses: dict[str, str]) -> None:
    path = tmp_path / "placement.json"
    FilePlacementStore(path).replace(initial_placement(addresses, partitions=2, replicas=1), None)
    with (
        server_process(tmp_path / "operator", "cluster", f"--placement={path}") as address,
        closing(open_channel(address)) as channel,
    ):
        status = ClusterServiceStub(channel).GetClusterStatus(
            cluster_service_pb2.GetClusterStatusRequest(), timeout=30
        )
    assert [shard.available for shard in status.shards] == [True] * 3
    assert status.epoch == 1
