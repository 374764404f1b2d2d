"""Whatever happens to a partition, in any order: it answers what a dictionary would."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from patchsearch.filters import Match
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.snapshots.restoring import restore_snapshot
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, clustered
from tests.shard_service.oracle import Oracle, found
from tests.shard_service.partition_machine import PartitionMachine
from tests.shard_service.partition_material import CENTRES, IDENTITY, random_photo

EXAMPLES = int(os.environ.get("PATCHSEARCH_MACHINE_EXAMPLES", "6"))
"""Runs of the machine for each profile. Who asks for more waits for a failure to be made small."""
PHASES = set(Phase) - ({Phase.shrink, Phase.explain} if EXAMPLES < 50 else set())


@pytest.mark.parametrize("profile", ["graph", "compact", "exact"])
def test_a_partition_is_its_dictionary_through_everything(profile: str) -> None:
    run_state_machine_as_test(
        lambda: PartitionMachine(profile),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            phases=PHASES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


IMAGES, PATCHES = 260, 24


@pytest.mark.parametrize("profile", ["graph", "compact", "hnsw"])
def test_an_index_that_is_asked_tells_nothing_but_the_truth(
    opened: Opened, rng: np.random.Generator, profile: str
) -> None:
    """Thousands of rows: not all of them are read, and what is found is what should be."""
    partition, oracle = opened(IDENTITY, profile=profile), Oracle()

    def put(first: int, count: int, version: int) -> None:
        writes = [
            random_photo(
                f"i{number:03}",
                PATCHES,
                1000 * version + number,
                version=version,
                metadata={"part": number % 10, "version": version},
                # Hundreds of equal float32 vectors become an island of that graph.
                tied=0.05 if profile == "hnsw" else 0.4,
            )
            for number in range(first, first + count)
        ]
        assert partition.put(writes, FINGERPRINT) == oracle.put(*writes)

    put(0, IMAGES // 2, 1)
    partition.seal()
    put(IMAGES // 2, IMAGES // 2, 1)
    partition.seal()
    agrees_mostly(partition, oracle, rng)
    # A tenth is deleted, a tenth is replaced by rows that grow: not enough for a rebuild.
    gone = [f"i{number:03}" for number in range(0, IMAGES, 10)]
    assert partition.delete(gone, 2) == oracle.delete(gone, 2)
    put(11, IMAGES // 20, 3)
    put(151, IMAGES // 20, 3)
    agrees_mostly(partition, oracle, rng)
    state = partition.describe()
    assert state.sealed_segments == 2 and min(state.growing_patches, state.deleted_patches) > 0
    partition.compact()
    agrees_mostly(partition, oracle, rng)
    copy, data = opened.directory.parent / "copy", opened.directory.parent / "data"
    partition.snapshot(str(copy))
    data.mkdir()
    restore_snapshot(str(copy), data)
    restored = Opened(data / "partitions" / "p0")
    try:
        agrees_mostly(restored(profile=profile), oracle, rng)
    finally:
        restored.close()


def agrees_mostly(partition: Partition, oracle: Oracle, rng: np.random.Generator) -> None:
    """Scores are exact, hits are hits of a scan, and hardly any of those are missing."""
    asked = agreed = total = 0
    for filter in (None, ~Match("part", (3.0,)), Match("part", (1.0, 2.0, 5.0, 6.0, 7.0))):
        for vector in clustered(rng, CENTRES, 3):
            query = PartitionQuery(vector, 16, filter=filter)
            every = [hit[:3] for hit in oracle.search(replace(query, k=IMAGES * PATCHES))]
            answer = partition.search(query, FINGERPRINT)
            hits = [hit[:3] for hit in found(answer)]
            places = [every.index(hit) for hit in hits]
            assert places == sorted(set(places)) and len(hits) == 16
            asked += answer.candidates_read < oracle.patches / 3
            agreed += len(set(hits) & set(every[:16]))
            total += 16
    assert agreed / total >= 0.9
    # Of the six that most rows meet; where dedup eats the candidates, all are read in the end.
    assert asked >= 3
