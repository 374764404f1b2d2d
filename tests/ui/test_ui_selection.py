"""The selection made visible: the page without scripts."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from patchsearch import Client, Photo
from patchsearch.explanation import WindowDecision
from tests.contract.cluster import Cluster, serving_encoder
from tests.ui.conftest import RunningPage, photo_file, serving_page
from tests.ui.picture_encoder import PictureEncoder

PHOTO = "drive-1/005.jpg"


@pytest.fixture(scope="module")
def desk(
    router_address: str, filled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPage]:
    with serving_page(router_address, filled, tmp_path_factory.mktemp("desk")) as running:
        yield running


def rows(text: str) -> list[list[str]]:
    """The cells of the windows' table."""
    table = re.search(r'id="windows".*?<tbody>(.*?)</tbody>', text, re.S)
    assert table
    return [
        [html.unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall("<td.*?</td>", row)]
        for row in re.findall("<tr>.*?</tr>", table[1], re.S)
    ]


def test_a_photo_leads_to_its_selection(desk: RunningPage) -> None:
    text = desk.get("/photo", id=PHOTO).text
    link = re.search(r'id="why-these" href="([^"]+)"', text)
    assert link
    assert "s-box" not in text  # it costs a second, so it comes when it is asked for

    page = desk.get(html.unescape(link[1]))

    assert page.status_code == 200
    assert "Why these patches" in page.text


def test_map_patches_and_every_other_window(desk: RunningPage, router_address: str) -> None:
    with Client(router_address) as client:
        told = client.explain_selection(desk.photos / PHOTO, max_windows=10_000)
    page = desk.get("/photo/selection", id=PHOTO, rows="1000").text

    assert page.count('class="s-box') == len(told.chosen)
    for window in told.chosen:
        place = f'x="{window.box.x}" y="{window.box.y}" width="{window.box.w}"'
        assert f'<rect class="s-box b-{window.level}" {place}' in page
    others = [w for w in told.windows if w.decision is not WindowDecision.CHOSEN]
    shown = rows(page)
    assert len(shown) == len(others) > 100
    for cells, window in zip(shown, others, strict=True):
        assert cells[0] == f"{window.box.x}, {window.box.y} · {window.box.w}px"
        assert cells[1:4] == [str(window.level), f"{window.score:.3f}", f"{window.average:.3f}"]
        if window.rival is not None and window.decision is WindowDecision.OUTSCORED:
            assert f"the patch at {window.rival.x}, {window.rival.y}" in cells[4]
            assert "ranks higher; the limit is 25 %" in cells[4]
        elif window.decision is WindowDecision.BELOW_THRESHOLD:
            limit = told.regions[window.region].min_average
            assert cells[4].endswith(
                f"average {window.average:.3f} is below the threshold {limit:g}"
            )
    reasons = {cells[4].partition(":")[0] for cells in shown}
    assert {"overlaps a better one", "below the threshold"} <= reasons
    assert "average at least 0.3, at most 6 patches in a region" in page


def test_filters(desk: RunningPage) -> None:
    def listed(**chosen: str) -> list[list[str]]:
        return rows(desk.get("/photo/selection", id=PHOTO, rows="1000", **chosen).text)

    assert {row[1] for row in listed(level="2")} == {"2"}
    assert all("below the threshold" in row[4] for row in listed(show="below_threshold"))
    chosen = listed(show="chosen")
    assert chosen and all("ranks higher than every window" in row[4] for row in chosen)
    side = chosen[0][0].rpartition(" ")[2]
    narrow = listed(side=side.removesuffix("px"))
    assert narrow and all(row[0].endswith(side) for row in narrow)
    short = desk.get("/photo/selection", id=PHOTO, show="no such", level="-1", rows="1e9").text
    assert len(rows(short)) == 60
    assert 'id="longer"' in short and "rows=240" in short
    assert "No such windows" in desk.get("/photo/selection", id=PHOTO, side="7").text


def test_saliency_maps_are_laid_over_the_photo(desk: RunningPage) -> None:
    page = desk.get("/photo/selection", id=PHOTO)
    maps = [
        html.unescape(m) for m in re.findall(r'<image class="s-map[^>]*href="([^"]+)"', page.text)
    ]
    assert len(maps) > 1

    answer = desk.get(maps[0])

    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.mode == "RGBA"
        low, high = image.getchannel("A").getextrema()
        assert low < 60 < 150 < high
    for wrong in ("/pictures/saliency", maps[0] + "9", maps[0].replace("of=", "of=x")):
        assert desk.get(wrong).status_code == 404
    assert "style-src 'self'" in page.headers["content-security-policy"]
    assert " style=" not in page.text and "<style" not in page.text


def test_what_is_stored_may_be_others(desk: RunningPage) -> None:
    page = desk.get("/photo/selection", id=PHOTO).text
    assert "The stored patches are others" in page
    assert "fake-selector/fake-saliency" in page


def test_a_photo_that_cannot_be_read(desk: RunningPage) -> None:
    page = desk.get("/photo/selection", id="no/such.jpg")
    assert page.status_code == 404
    assert "IMAGE_NOT_FOUND" in page.text and 'id="selection-again"' in page.text


def test_a_file_that_changed_and_an_encoder_that_is_away(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with serving_encoder(PictureEncoder()) as encoder:
            cluster = Cluster(tmp_path / "cluster", 1, encoder)
            stack.callback(cluster.close)
            path = photo_file(tmp_path / "photos" / "a.jpg", 1)
            with Client(cluster.router_address) as client:
                assert [r.error for r in client.ingest([Photo("a.jpg", path, uri=str(path))])] == [
                    None
                ]
            photo_file(path, 2)
            page = stack.enter_context(
                serving_page(cluster.router_address, path.parent, tmp_path / "desk")
            )
            assert "The file has changed" in page.get("/photo/selection", id="a.jpg").text
            photo_file(path, 3)
        away = page.get("/photo/selection", id="a.jpg")
    assert away.status_code == 503
    assert "Not available now" in away.text and "ENCODER_UNAVAILABLE" in away.text
    assert "the encoder does not answer" in away.text
    assert 'id="selection-again"' in away.text
