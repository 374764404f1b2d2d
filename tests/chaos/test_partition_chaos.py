"""The short form of `make chaos-partition`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos.partition.campaign import Extent, run_campaign
from tests.chaos.partition.summary import as_json, faults_of, table

_SEED = 2014


def test_kills_and_damages_cost_nothing(tmp_path: Path) -> None:
    extent = Extent(kills=3, corruptions=12, power_losses=0, control_runs=0, disk_faults=0)
    report = run_campaign(tmp_path, extent, _SEED, lambda part: None)
    print(table(report))
    assert faults_of(report) == []
    assert report.kills.effective == 3
    assert report.kills.acknowledged_writes > 50
    assert report.corruptions.done == 12
    assert report.corruptions.detected >= 6
    told = json.loads(json.dumps(as_json(report)))
    assert told["kills"]["effective"] == 3 and told["kills"]["idle"] >= 0
    for kind in ("lost", "phantom", "duplicate", "torn"):
        assert told["kills"]["counts"][kind] == 0
    counts = told["corruptions"]["counts"]
    assert counts["missed"] == 0 and counts["detected"] + counts["harmless"] == 12
    kinds = told["corruptions"]["by_kind"].values()
    assert all({"detected", "harmless", "missed"} == set(kind) for kind in kinds)
    assert sum(kind["detected"] for kind in kinds) == counts["detected"]


def test_a_power_loss_costs_nothing_and_the_control_something(tmp_path: Path) -> None:
    extent = Extent(kills=0, corruptions=0, power_losses=1, control_runs=1, disk_faults=0)
    report = run_campaign(tmp_path, extent, _SEED, lambda part: None)
    if report.power.skipped:
        pytest.skip(f"a disk to cut the power of: {report.power.skipped}")
    assert faults_of(report) == []
    assert report.power.control_lost > 0
