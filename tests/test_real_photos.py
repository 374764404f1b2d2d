"""Real street photos in, and each of 20 of them found from a box of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from patchsearch import Client, IngestOutcome, Photo, Region
from patchsearch.serving import EmbeddedCluster

DATA = Path(os.environ.get("PATCHSEARCH_DATA", Path(__file__).resolve().parents[2] / "shared"))
PHOTOS = DATA / "data" / "gtsdb" / "images"


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no photos at {PHOTOS}; set PATCHSEARCH_DATA")
@pytest.mark.parametrize("count", [40, pytest.param(240, marks=pytest.mark.long)])
def test_a_photo_is_found_from_a_box_of_its_own(count: int, tmp_path: Path) -> None:
    photos = sorted(PHOTOS.glob("*.jpg"))[:count]
    assert len(photos) == count
    with EmbeddedCluster(tmp_path, "mini") as cluster, Client(cluster.address) as client:
        begin = time.perf_counter()
        results = list(client.ingest(Photo(path.name, path) for path in photos))
        print(f"{len(photos) / (time.perf_counter() - begin):.1f} photos/s")
        assert {result.outcome for result in results} == {IngestOutcome.STORED}
        for path in photos[:: count // 20]:
            patches = client.get(path.name).patches
            box = max(patches, key=lambda patch: patch.selection_score).box
            best = client.search(Region(path, box), k=16)[0]
            assert (best.image_id, best.box) == (path.name, box)
            assert best.score > 0.99
