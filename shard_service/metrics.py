"""What a shard measures of itself besides its calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from patchsearch.errors import PatchsearchError
from shard_service.answers import PartitionState
from shard_service.partition import Partition
from shard_service.replication.convergence import Taken

_FSYNC_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_BUILD_S = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class RecallMetrics:
    """Counts of recall checks by index profile; recall is found hits over expected ones.

    Thread-safe.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._checks = Counter(
            "patchsearch_recall_checks",
            "Searches that were answered again exactly, by index profile.",
            ["profile"],
            registry=registry,
        )
        self._expected = Counter(
            "patchsearch_recall_expected_hits",
            "Hits of those exact answers.",
            ["profile"],
            registry=registry,
        )
        self._found = Counter(
            "patchsearch_recall_found_hits",
            "Of those hits, the ones that the searches had found: divide by the expected hits.",
            ["profile"],
            registry=registry,
        )

    def observe(self, profile: str, found: int, expected: int) -> None:
        """Counts one check."""
        self._checks.labels(profile).inc()
        self._expected.labels(profile).inc(expected)
        self._found.labels(profile).inc(found)


class WorkMetrics:
    """Commits, builds and repairs, as they end. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._fsync = Histogram(
            "patchsearch_shard_fsync_seconds",
            "Seconds that a commit of a store took to become durable.",
            buckets=_FSYNC_S,
            registry=registry,
        )
        self._builds = Histogram(
            "patchsearch_shard_build_seconds",
            "Seconds that a segment took to be built, by what was done: sealing, merging, "
            "compacting.",
            ["work"],
            buckets=_BUILD_S,
            registry=registry,
        )
        self._repairs = Counter(
            "patchsearch_shard_repaired_images",
            "Images that were fetched from other replicas.",
            registry=registry,
        )
        self._deletions = Counter(
            "patchsearch_shard_repaired_deletions",
            "Deletions that were fetched from other replicas.",
            registry=registry,
        )
        self._running = Gauge(
            "patchsearch_shard_builds_running", "Segments that are being built.", registry=registry
        )

    def committed(self, seconds: float) -> None:
        """A commit has become durable."""
        self._fsync.observe(seconds)

    def build_began(self) -> None:
        """A segment is being built."""
        self._running.inc()

    def built(self, what: str, seconds: float) -> None:
        """A segment was built, or failed to be."""
        self._running.dec()
        self._builds.labels(what).observe(seconds)

    def repaired(self, taken: Taken) -> None:
        """A repair has taken something."""
        self._repairs.inc(taken.images)
        self._deletions.inc(taken.deletions)


_PER_PARTITION: Sequence[tuple[str, str, Callable[[PartitionState], float]]] = (
    ("images", "Images stored.", lambda state: state.images),
    ("patches", "Patches stored.", lambda state: state.patches),
    (
        "growing_patches",
        "Patches that are searched exactly until they are sealed.",
        lambda state: state.growing_patches,
    ),
    (
        "deleted_patches",
        "Rows of sealed segments that are deleted and wait for a rebuild.",
        lambda state: state.deleted_patches,
    ),
    ("segments", "Sealed segments.", lambda state: state.sealed_segments),
    ("tombstones", "Deletions that are remembered.", lambda state: state.tombstones),
    (
        "damaged_images",
        "Images whose records are damaged: not searched.",
        lambda state: state.damaged_images,
    ),
)


class PartitionMetrics(Collector):
    """The state of a shard's partitions whenever it is asked for, by the label `partition`, and the
    room on its disk. Thread-safe."""

    def __init__(
        self, registry: CollectorRegistry, partitions: Callable[[], Sequence[Partition]], data: Path
    ) -> None:
        self._partitions = partitions
        self._data = data
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing that the registry would have to look up before the partitions are open."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The values as of now; those of partitions only while they are open."""
        try:
            partitions = self._partitions()
        except PatchsearchError:
            partitions = []
        states, sizes = {}, {}
        for partition in partitions:
            try:
                states[partition.identity.partition_id] = partition.describe()
            except PatchsearchError:
                # It is being closed.
                continue
            sizes[partition.identity.partition_id] = partition.disk_bytes()
        for name, help, value in _PER_PARTITION:
            family = GaugeMetricFamily(f"patchsearch_shard_{name}", help, labels=["partition"])
            for partition_id, state in states.items():
                family.add_metric([partition_id], value(state))
            yield family
        disk = GaugeMetricFamily(
            "patchsearch_shard_disk_bytes", "Bytes of a partition's files.", labels=["partition"]
        )
        for partition_id, size in sizes.items():
            disk.add_metric([partition_id], size)
        yield disk
        yield GaugeMetricFamily(
            "patchsearch_shard_partitions", "Partitions that are open.", value=len(states)
        )
        try:
            usage = shutil.disk_usage(self._data)
        except OSError:
            return
        yield GaugeMetricFamily(
            "patchsearch_shard_disk_free_bytes", "Free bytes on the disk.", value=usage.free
        )
        yield GaugeMetricFamily(
            "patchsearch_shard_disk_total_bytes", "Bytes of the disk.", value=usage.total
        )
