"""A quick look at each kind of real photos that there is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from patchsearch.cli.app import run

DATA = Path(os.environ.get("PATCHSEARCH_DATA", Path(__file__).resolve().parents[3] / "shared"))
FOLDER = DATA / "data"


@pytest.mark.long
@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no photos at {FOLDER}; set PATCHSEARCH_DATA")
@pytest.mark.parametrize("name", ["gtsdb", "coco128", "raccoon"])
def test_real_photos_are_measured(name: str, tmp_path: Path) -> None:
    arguments = ["evaluate", str(FOLDER / name), "--report", str(tmp_path)]
    assert run([*arguments, "--limit", "4", "--no-search", "--no-curve", "--workers", "1"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["dataset"]["photos"], results["dataset"]["problems"]) == (4, {})
    assert results["dataset"]["objects"] > 0
    rows = {row["selector"]: row for row in results["selection"]}
    assert 0 < rows["hierarchical-filtered"]["mean"] <= 1
    assert rows["hierarchical-filtered"]["patches_per_image"] <= 35
    assert rows["whole-image"]["patches_per_image"] == 1
