"""A thousand hits: scrolling loads them all and stays quick."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsearch import Client, Photo
from tests.contract.cluster import Cluster, serving_encoder
from tests.ui.browser import browsing
from tests.ui.conftest import photo_file, serving_page
from tests.ui.picture_encoder import PictureEncoder

HITS = 1000
LONGEST_TASK_MS = 200


@pytest.fixture
def many(tmp_path: Path) -> Iterator[str]:
    """A router over 1008 patches."""
    with serving_encoder(PictureEncoder()) as encoder:
        cluster = Cluster(tmp_path, 1, encoder)
        paths = [photo_file(tmp_path / f"photos/{n:02d}.jpg", n) for n in range(42)]
        photos = [Photo(path.name, path, uri=str(path)) for path in paths]
        with Client(cluster.router_address) as client:
            assert all(result.error is None for result in client.ingest(photos))
            client.search("anything", timeout_s=120)
        yield cluster.router_address
        cluster.close()


@pytest.mark.long
def test_a_thousand_hits_scroll_without_long_tasks(many: str, tmp_path: Path) -> None:
    with (
        serving_page(many, tmp_path / "photos", tmp_path / "desk") as page,
        browsing(page.address, tmp_path) as tab,
    ):
        tab.page.goto("/?t=text:bus&k=250")
        tab.page.evaluate(
            """() => { window.tasks = [];
              new PerformanceObserver((list) => list.getEntries().forEach((entry) =>
                window.tasks.push(entry.duration))).observe({ type: "longtask" }); }"""
        )
        for _ in range(400):
            count = tab.page.locator(".card").count()
            if count == HITS:
                break
            tab.page.mouse.wheel(0, 3000)
            tab.page.wait_for_timeout(50)
        assert count == HITS
        found = tab.page.eval_on_selector_all(".card", "all => all.map(one => one.id)")
        assert len(set(found)) == HITS
        assert tab.complaints == []
        longest = tab.page.evaluate("Math.max(0, ...window.tasks)")
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip(f"too busy here to time a browser (longest task {longest:.0f} ms)")
    assert longest <= LONGEST_TASK_MS
