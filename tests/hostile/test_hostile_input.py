"""The hostile campaign in its short form; `python -m tests.hostile.campaign` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.hostile.campaign import decode_mutants, run_campaign
from tests.hostile.hostile_images import hostile_images
from tests.hostile.judge import Report
from tests.hostile.mutants import mutants


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_servers_withstand_hostile_images_calls_and_connections(tmp_path: Path) -> None:
    report = run_campaign(
        tmp_path / "data", mutant_count=50, calls=120, seed=1, connections=20, curated=8
    )
    assert report.failures == []
    assert report.calls == 120 and report.idle_connections == 60
    assert report.outcomes["OK"] > 20 and report.outcomes["INVALID_ARGUMENT"] > 50


def test_mutants_are_the_same_for_a_seed_and_are_judged() -> None:
    images = hostile_images()
    first = [data for _, data in mutants(images, 50, seed=3)]
    assert first == [data for _, data in mutants(images, 50, seed=3)]
    assert first != [data for _, data in mutants(images, 50, seed=4)]
    report = Report()
    decode_mutants(200, 3, report)
    assert report.failures == [] and report.mutants == 200
    assert report.outcomes["mutant: IMAGE_UNDECODABLE"] > 50
    assert report.outcomes["mutant: pixels"] > 10


def test_the_curated_set_is_large_and_varied() -> None:
    images = hostile_images()
    assert len(images) >= 60
    assert len(set(images.values())) == len(images)
