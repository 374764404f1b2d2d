"""Recall that a partition measures of itself while it serves."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shard_service.metrics import RecallMetrics
from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.material import (
    DIM,
    FINGERPRINT,
    IDENTITY,
    clustered,
    photo,
    row_of_boxes,
    units,
)

Check = tuple[str, int, int]


class Checks:
    """What a partition told of its recall."""

    def __init__(self) -> None:
        self.told: list[Check] = []
        self.gate = threading.Event()
        self.gate.set()

    def observe(self, profile: str, found: int, expected: int) -> None:
        self.gate.wait(10)
        self.told.append((profile, found, expected))

    def wait(self, count: int) -> list[Check]:
        until = time.monotonic() + 10
        while len(self.told) < count:
            assert time.monotonic() < until, f"{len(self.told)} of {count} checks were made"
            time.sleep(0.005)
        return self.told


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def measured(tmp_path: Path, checks: Checks, request: pytest.FixtureRequest) -> Partition:
    """Opens a partition of 3000 clustered rows, sealed, that measures `share` of its searches."""
    share = getattr(request, "param", 1.0)
    create_partition(tmp_path / "p0", IDENTITY, 1 << 20)
    options = PartitionOptions(
        seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20, recall_share=share
    )
    partition = Partition(tmp_path / "p0", options, observe=checks.observe)
    request.addfinalizer(partition.close)
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((50, DIM))
    writes = [photo(f"i{n}", row_of_boxes(20), clustered(rng, centres, 20)) for n in range(150)]
    partition.put(writes, FINGERPRINT)
    return partition


def search(partition: Partition, seed: int, **options: object) -> None:
    vector = units(np.random.default_rng(seed), 1)[0]
    partition.search(PartitionQuery(vector, 16, **options), FINGERPRINT)  # type: ignore[arg-type]


def test_every_search_of_an_index_is_checked(measured: Partition, checks: Checks) -> None:
    measured.seal()
    for seed in range(12):
        search(measured, seed)
    told = checks.wait(12)
    assert {(profile, expected) for profile, _, expected in told} == {("graph", 16)}
    assert all(0 <= found <= expected for _, found, expected in told)
    assert sum(found for _, found, _ in told) >= 0.9 * 12 * 16
    (recall,) = measured.describe().recall
    assert (recall.profile, recall.checks, recall.expected_hits) == ("graph", 12, 12 * 16)
    assert recall.found_hits == sum(found for _, found, _ in told)


def test_a_search_that_finds_less_is_told_so(measured: Partition, checks: Checks) -> None:
    """Otherwise a share of 1.0 would be the answer to every question."""
    measured.seal()
    for seed in range(12):
        search(measured, seed, ef=1, oversample=1.0)
    told = checks.wait(12)
    assert sum(found for _, found, _ in told) < 12 * 16
    assert all(found <= expected for _, found, expected in told)


def test_the_threshold_and_the_filter_of_the_search_hold_for_the_check(
    measured: Partition, checks: Checks
) -> None:
    measured.seal()
    vector = measured.get_images(["i7"], with_patches=True)[0].patches
    assert vector is not None
    query = vector.vectors[0].astype(np.float32)
    query /= np.linalg.norm(query)
    answer = measured.search(PartitionQuery(query, 50, score_threshold=0.97), FINGERPRINT)
    (check,) = checks.wait(1)
    assert check == ("graph", len(answer.hits), len(answer.hits)) and 0 < len(answer.hits) < 50


def test_exact_searches_and_growing_rows_need_no_check(measured: Partition, checks: Checks) -> None:
    search(measured, 1)
    measured.seal()
    search(measured, 2, exact=True)
    search(measured, 3)
    assert len(checks.wait(1)) == 1
    time.sleep(0.05)
    assert len(checks.told) == 1


@pytest.mark.parametrize("measured", [0.0], indirect=True)
def test_nothing_is_checked_unless_asked_for(measured: Partition, checks: Checks) -> None:
    measured.seal()
    for seed in range(20):
        search(measured, seed)
    time.sleep(0.1)
    assert checks.told == [] and measured.describe().recall == ()


@pytest.mark.parametrize("measured", [0.5], indirect=True)
def test_a_share_of_the_searches_is_checked(measured: Partition, checks: Checks) -> None:
    measured.seal()
    for seed in range(60):
        search(measured, seed)
        time.sleep(0.002)
    checks.wait(10)
    time.sleep(0.1)
    assert len(checks.told) <= 50


def test_checks_that_come_too_fast_are_dropped_and_nobody_waits(
    measured: Partition, checks: Checks
) -> None:
    measured.seal()
    checks.gate.clear()
    for seed in range(60):
        search(measured, seed)
    checks.gate.set()
    checks.wait(2)
    time.sleep(0.2)
    assert len(checks.told) < 60


def test_a_check_that_runs_does_not_keep_a_partition_from_closing(
    measured: Partition, checks: Checks
) -> None:
    measured.seal()
    for seed in range(20):
        search(measured, seed)
    closing = threading.Thread(target=measured.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_the_metrics_export_what_was_found() -> None:
    registry = CollectorRegistry()
    metrics = RecallMetrics(registry)
    for found, expected in ((16, 16), (15, 16), (0, 0)):
        metrics.observe("graph", found, expected)
    metrics.observe("graph+hnsw", 3, 4)
    values = {
        (sample.name, sample.labels["profile"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert values == {
        ("patchsearch_recall_checks_total", "graph"): 3,
        ("patchsearch_recall_expected_hits_total", "graph"): 32,
        ("patchsearch_recall_found_hits_total", "graph"): 31,
        ("patchsearch_recall_checks_total", "graph+hnsw"): 1,
        ("patchsearch_recall_expected_hits_total", "graph+hnsw"): 4,
        ("patchsearch_recall_found_hits_total", "graph+hnsw"): 3,
    }
    assert b'patchsearch_recall_found_hits_total{profile="graph"} 31.0' in generate_latest(registry)
