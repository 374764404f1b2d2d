"""The short form of `make chaos-cluster`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.cluster.campaign import Extent, run_campaign
from tests.chaos.cluster.summary import as_json, table
from tests.chaos.cluster.world import Shape

_SEED = 2022


def test_a_cluster_in_trouble_loses_nothing_and_answers_all(tmp_path: Path) -> None:
    rounds = {"kill": 2, "silent": 1, "move": 1}
    shape = Shape(shards=3, partitions=3, replicas=2, skew_s=2.0)
    report = run_campaign(tmp_path, Extent(rounds, shape), _SEED, lambda part: None)
    print(table(report))
    assert report.faults == []
    assert report.strikes["kill"].effective == 2
    assert report.strikes["kill"].failed == report.strikes["kill"].degraded == 0
    assert report.acknowledged > 20
    assert report.verdict.records > 500
    told = json.loads(json.dumps(as_json(report)))
    assert told["verdict"]["lost"] == [] and told["faults"] == []
