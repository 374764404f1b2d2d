"""What a shard tells of itself to Prometheus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from shard_service.metrics import PartitionMetrics, WorkMetrics
from shard_service.replication.convergence import Taken
from shard_service.shard import Shard
from shard_service.timings import Timings
from tests.shard_service.material import FINGERPRINT, IDENTITY, OPTIONS, photo, row_of_boxes, units


def test_the_state_and_the_work_of_a_shard(tmp_path: Path, rng: np.random.Generator) -> None:
    registry = CollectorRegistry()
    work = WorkMetrics(registry)
    timings = Timings(work.committed, work.build_began, work.built)
    shard = Shard(tmp_path, OPTIONS, timings=timings)
    PartitionMetrics(registry, shard.partitions, tmp_path)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"patchsearch_shard_{name}", labels)

    assert value("partitions") == 0, "not open yet"
    shard.open()
    try:
        shard.create(IDENTITY)
        partition = shard.partition("p0")
        writes = [photo(f"i{n}", row_of_boxes(5), units(rng, 5)) for n in range(100)]
        partition.put(writes, FINGERPRINT)
        partition.seal()
        partition.delete(["i0", "i1", "no"], 9)
        partition.put([photo("late", row_of_boxes(2), units(rng, 2))], FINGERPRINT)
        expected = {
            "images": 99,
            "patches": 492,
            "growing_patches": 2,
            "deleted_patches": 10,
            "segments": 1,
            "tombstones": 3,
            "damaged_images": 0,
        }
        assert {name: value(name, partition="p0") for name in expected} == expected
        size = value("disk_bytes", partition="p0")
        assert size is not None and size > 492 * 128
        total, free = value("disk_total_bytes"), value("disk_free_bytes")
        assert total is not None and free is not None and 0 < free < total
        assert value("partitions") == 1 and value("builds_running") == 0
        assert value("build_seconds_count", work="sealing") == 1
        # Two writes, a deletion, and the codebook.
        assert value("fsync_seconds_count") == 4
        work.repaired(Taken(3, 2))
        assert value("repaired_images_total") == 3
        assert value("repaired_deletions_total") == 2
    finally:
        shard.close()
