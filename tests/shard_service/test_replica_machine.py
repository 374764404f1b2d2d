"""Two replicas that lose writes at random and repair each other end up the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from shard_service.replication.convergence import converge
from shard_service.search.query import PartitionQuery
from tests.shard_service.material import FINGERPRINT, IDENTITY, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found
from tests.shard_service.replica_shards import records

# Which image, deleted or with how many patches, and which replicas hear of it.
writes = st.tuples(
    st.integers(0, 11),
    st.one_of(st.none(), st.integers(0, 4)),
    st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
    st.integers(0, 3),
)
steps = st.lists(st.one_of(writes, st.sampled_from(["restart", "repair", "seal"])), max_size=40)
OPTIONS = PartitionOptions(
    seal_patches=10**9, min_train_patches=10**9, map_bytes=1 << 20, profile="exact", durable=False
)


def repaired(target: Partition, source: Partition) -> int:
    taken = list(converge(target.replica, source.replica, 0, (1 << 64) - 1, 0))
    return sum(one.images + one.deletions for one in taken)


@given(steps, st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_replicas_that_repair_each_other_are_equal(steps: list, seed: int) -> None:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        directories = [Path(folder) / name for name in "ab"]
        for directory in directories:
            create_partition(directory, IDENTITY, OPTIONS.map_bytes)
        replicas = [Partition(directory, OPTIONS) for directory in directories]
        oracle = Oracle()
        try:
            for clock, step in enumerate(steps, 1):
                if step == "restart":
                    for at, directory in enumerate(directories):
                        replicas[at].close()
                        replicas[at] = Partition(directory, OPTIONS)
                elif step == "repair":
                    repaired(replicas[clock % 2], replicas[1 - clock % 2])
                elif step == "seal":
                    replicas[clock % 2].seal()
                else:
                    number, patches, heard, late = step
                    # Clocks of routers disagree a little, but no two writes have one version.
                    version = 64 * (clock + late) + clock
                    name = f"i{number}"
                    if patches is None:
                        for at in np.flatnonzero(heard).tolist():
                            replicas[at].delete([name], version)
                        if any(heard):
                            oracle.delete([name], version)
                    else:
                        write = photo(
                            name, row_of_boxes(patches), units(rng, patches), version=version
                        )
                        for at in np.flatnonzero(heard).tolist():
                            replicas[at].put([write], FINGERPRINT)
                        if any(heard):
                            oracle.put(write)
            repaired(replicas[0], replicas[1])
            repaired(replicas[1], replicas[0])
            first, second = (one.replica.totals() for one in replicas)
            assert first == second
            assert records(directories[0]) == records(directories[1])
            assert repaired(replicas[0], replicas[1]) == 0
            query = PartitionQuery(units(rng, 1)[0], 100, exact=True)
            expected = oracle.search(query)
            for one in replicas:
                assert found(one.search(query, FINGERPRINT)) == expected
        finally:
            for one in replicas:
                one.close()
