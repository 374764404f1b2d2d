"""64 partitions of two replicas on eight real shards."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.placed_client import units
from tests.cluster.real_cluster import real_cluster


def test_an_eighth_shard_gets_its_share_of_64_partitions(tmp_path: Path) -> None:
    queries = units(5, seed=7)
    with real_cluster(tmp_path, shards=7, spare=1, partitions=64) as cluster:
        cluster.client.fill([f"image-{i}" for i in range(400)], 2, 10)
        before = [cluster.client.search(query) for query in queries]
        cluster.run(
            lambda p: p.add_shard("shard-7", cluster.addresses["shard-7"]), besides=["shard-7"]
        )
        assert [cluster.client.search(query) for query in queries] == before
        cluster.settled()
        totals = {
            name: sum(held.images for held in found.held.values())
            for name, found in cluster.operator.survey().shards.items()
        }
        assert 0.8 * 100 <= totals["shard-7"] <= 1.1 * 100
        assert len(totals) == 8 and sum(totals.values()) == 800
