"""Putting photos in from the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.cluster import Cluster, serving_encoder
from tests.ui.conftest import RunningPage, photo_file, serving_page
from tests.ui.picture_encoder import PictureEncoder


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[RunningPage]:
    """A page over an empty collection."""
    (tmp_path / "photos").mkdir()
    with serving_encoder(PictureEncoder()) as encoder:
        cluster = Cluster(tmp_path, 1, encoder)
        try:
            data = tmp_path / "desk"
            with serving_page(cluster.router_address, tmp_path / "photos", data) as running:
                yield running
        finally:
            cluster.close()


def finished(page: RunningPage, run: str, eventually: Callable[[Callable[[], bool]], None]) -> str:
    eventually(lambda: "hx-trigger" not in page.get(run).text)
    return page.get(run).text


def test_a_folder_is_ingested_and_refusals_are_told(
    empty: RunningPage, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    for number in range(3):
        photo_file(empty.photos / "drive" / f"{number}.jpg", number)
    (empty.photos / "drive" / "broken.jpg").write_bytes(b"no picture")
    assert "Put some in" in empty.get("/").text
    started = empty.post("/ingest", {"place": "drive"})
    assert re.fullmatch("/ingest/[0-9]+", started.url.path)
    text = finished(empty, started.url.path, eventually)
    assert "3 stored with" in text and "drive/broken.jpg" in text and "IMAGE_UNDECODABLE" in text
    assert "4</b> of 4 photos" in text
    assert "drive/1.jpg" in empty.get("/photos").text
    assert "1 refused" in empty.get("/status").text


def test_a_manifest_reads_nothing_outside(
    empty: RunningPage, eventually: Callable[[Callable[[], bool]], None], tmp_path: Path
) -> None:
    photo_file(empty.photos / "a.jpg", 1)
    photo_file(tmp_path / "secret.jpg", 2)
    rows = [
        {"uri": "a.jpg", "weather": "snow"},
        {"uri": "../secret.jpg"},
        {"image_id": "s", "uri": f"file://{tmp_path}/secret.jpg"},
    ]
    manifest = empty.photos / "drive.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    started = empty.post("/ingest", {"place": str(manifest)})
    text = finished(empty, started.url.path, eventually)
    assert "1 stored with" in text and text.count("PHOTO_NOT_ALLOWED") == 2
    photos = empty.get("/photos").text
    assert "a.jpg" in photos and "secret" not in photos


@pytest.mark.parametrize("place", ["/etc", "../", "", "a.jpg", "nowhere", "/", "drive\x00"])
def test_only_folders_and_manifests_below_a_root(page: RunningPage, place: str) -> None:
    assert page.post("/ingest", {"place": place}).status_code in (400, 403, 404)


def test_ingest_can_be_switched_off(router_address: str, filled: Path, tmp_path: Path) -> None:
    with serving_page(router_address, filled, tmp_path / "desk", allow_ingest=False) as page:
        assert page.get("/ingest").status_code == 403
        assert page.post("/ingest", {"place": "."}).status_code == 403
        assert 'href="/ingest"' not in page.get("/").text
