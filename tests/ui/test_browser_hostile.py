"""Markup in ids, metadata and file names stays text in a real browser."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from tests.ui.browser import browsing
from tests.ui.conftest import serving_page
from tests.ui.test_ui_security import HOSTILE, hostile_cluster

__all__ = ["hostile_cluster"]


def test_hostile_names_run_nothing(hostile_cluster: tuple[str, Path], tmp_path: Path) -> None:
    address, photos = hostile_cluster
    with (
        serving_page(address, photos, tmp_path / "desk") as page,
        browsing(page.address, tmp_path) as tab,
    ):
        tab.page.goto("/?t=text:bus&group=drive&k=50")
        tab.settled()
        tab.page.locator(".card .yes").first.click()
        tab.page.wait_for_selector(".verdict[data-verdict=yes]")
        tab.page.locator(".card .more-like").first.click()
        tab.page.wait_for_selector(".chip:nth-child(2)")
        for path in ("/photos", "/sets/1", "/ingest"):
            tab.page.goto(path)
            tab.settled()
        for name in HOSTILE:
            tab.page.goto("/photo?" + urlencode({"id": name, "t": f"text:{name}"}))
            tab.settled()
            assert tab.page.locator("h1").text_content() == name
        assert tab.page.evaluate("document.querySelectorAll('script:not([src])').length") == 0
        assert tab.complaints == []
