"""Clusters of fake shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.fake_cluster import FakeCluster
from tests.cluster.fake_shards import serving_fakes

MakeCluster = Callable[..., FakeCluster]


@pytest.fixture
def fake_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """Makes clusters: shards in the placement, shards that stand by, partitions, replicas."""
    with ExitStack() as stack:
        made = [0]

        def make(
            shards: int = 3, spare: int = 1, partitions: int = 6, replicas: int = 2
        ) -> FakeCluster:
            made[0] += 1
            fakes = stack.enter_context(serving_fakes(shards + spare))
            cluster = FakeCluster(
                tmp_path / f"placement-{made[0]}.json",
                fakes,
                shards=shards,
                partitions=partitions,
                replicas=replicas,
            )
            stack.callback(cluster.close)
            return cluster

        yield make
