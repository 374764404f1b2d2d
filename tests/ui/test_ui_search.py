"""Searching, looking and judging as a browser without scripts does it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsearch import Client
from tests.contract.cluster import Cluster, serving_encoder
from tests.patchsearch.fake_collection import FakeCollection, running
from tests.ui.conftest import RunningPage, crop_bytes, serving_page
from tests.ui.picture_encoder import PictureEncoder

FOUND = re.compile(r'name="one" value="yes\|([^"]+)"')
ERROR = re.compile(r"<code>([A-Z_]+)</code>")


def hits_of(text: str) -> list[str]:
    return FOUND.findall(text)


def test_the_start_page_shows_photos_and_asks(page: RunningPage) -> None:
    answer = page.get("/")
    assert answer.status_code == 200
    assert 'name="q"' in answer.text and "drive-0/000.jpg" in answer.text


def test_words_lead_to_an_address_that_can_be_shared(page: RunningPage) -> None:
    answer = page.get("/", q="a red bus")
    assert answer.url.query == b"t=text%3Aa+red+bus&w=1"
    assert len(hits_of(answer.text)) == 16
    assert hits_of(page.client.get(str(answer.url)).text) == hits_of(answer.text)


def test_an_uploaded_crop_is_a_term_and_is_stored_once(page: RunningPage) -> None:
    for _ in range(2):
        picture = {"picture": ("crop.png", crop_bytes(1), "image/png")}
        answer = page.post("/uploads", {"query": "t=text%3Abus&w=1"}, files=picture)
        assert answer.status_code == 200, answer.text
    assert "t=text%3Abus" in str(answer.url) and "t=crop%3A" in str(answer.url)
    assert len(hits_of(answer.text)) == 16
    assert len([f for f in (page.data / "uploads").rglob("*") if f.is_file()]) == 1


def test_scrolling_goes_on_where_the_page_ended(page: RunningPage) -> None:
    answer = page.get("/", t="text:bus", k="10")
    seen = hits_of(answer.text)
    while match := re.search(r'hx-get="(/more[^"]+)"', answer.text):
        answer = page.client.get(match[1].replace("&amp;", "&"))
        seen += hits_of(answer.text)
    with Client(page_router(page)) as client:
        whole = client.search("bus", k=1000)
    assert len(seen) == len(set(seen)) == len(whole) == 12 * 24


def test_a_filter_and_its_suggestions(page: RunningPage) -> None:
    answer = page.get("/", t="text:bus", filter='weather = "snow"', k="100")
    assert {place.rpartition("/")[2] for place in hits_of(answer.text)} == {
        f"{number:03d}.jpg" for number in range(0, 12, 2)
    }
    facets = page.get("/facets", t="text:bus").text
    assert "snow <small>6</small>" in facets and "drive-1 <small>4</small>" in facets


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"t": "text:bus", "filter": "weather ="}, "FILTER_INVALID"),
        ({"t": "text:bus", "w": "-1"}, "QUERY_NEGATIVE_ONLY"),
        ({"t": "patch:0,0,7,7@nowhere.jpg"}, "PATCH_NOT_FOUND"),
        ({"t": "crop:" + "0" * 64}, "UPLOAD_NOT_FOUND"),
        ({"t": "text:bus", "k": "0"}, "PARAMETER_INVALID"),
    ],
)
def test_bad_searches_say_why(page: RunningPage, params: dict[str, str], reason: str) -> None:
    answer = page.get("/", **params)
    assert answer.status_code in (400, 404)
    assert ERROR.findall(answer.text) == [reason]


def test_groups_have_headings(page: RunningPage) -> None:
    text = page.get("/", t="text:bus", group="drive", k="200").text
    assert set(re.findall(r'class="group">([^ ]+) ', text)) == {"drive-0", "drive-1", "drive-2"}


def test_a_box_of_a_photo_is_searched(page: RunningPage) -> None:
    photo = page.get("/photo", id="drive-1/005.jpg", at="100,100,100,100", t="text:bus")
    assert photo.status_code == 200 and "640 \N{MULTIPLICATION SIGN} 400 px" in photo.text
    box = {"x": "210", "y": "90", "width": "100", "height": "120"}
    answer = page.get("/region", kind="photo", source="drive-1/005.jpg", how="new", **box)
    assert answer.url.params["t"] == "photo:210,90,100,120@drive-1/005.jpg"
    assert hits_of(answer.text)[0].endswith("@drive-1/005.jpg")


def test_more_and_less_like_a_hit(page: RunningPage) -> None:
    place = hits_of(page.get("/", t="text:bus").text)[0].partition("|")[2]
    more = page.post("/hits", {"query": "t=text:bus", "add": f"more|{place}"})
    assert more.url.params.get_list("t") == ["text:bus", f"patch:{place}"]
    less = page.post("/hits", {"query": "t=text:bus", "add": f"not|{place}"})
    assert less.url.params.get_list("w") == ["1", "-0.5"]


def test_judging_searching_again_and_undoing(page: RunningPage) -> None:
    first = page.get("/", t="text:bus")
    hits = hits_of(first.text)
    back = {"query": "t=text:bus", "back": "/?t=text:bus"}
    page.post("/hits", {**back, "one": f"yes|{hits[0]}"})
    page.post("/hits", {**back, "all": "no", "hit": hits[1:4]})  # type: ignore[dict-item]
    assert "1 yes, 3 no" in page.get("/sets").text
    page.post("/hits", {**back, "rest": "no", "shown": hits})  # type: ignore[dict-item]
    assert "1 yes, 15 no" in page.get("/sets").text

    again = page.post("/hits", {**back, "again": "1"})
    kinds = again.url.params.get_list("t")
    assert kinds[0] == "text:bus" and len(kinds) == 17
    shown = {hit.partition("|")[2] for hit in hits_of(again.text)}
    assert shown and not shown & {hit.partition("|")[2] for hit in hits}
    twice = page.post("/hits", {**back, "query": again.url.query.decode(), "again": "1"})
    assert twice.url == again.url

    page.post("/hits", {**back, "undo": "1"})
    assert "1 yes, 3 no" in page.get("/sets").text
    page.post("/hits", {**back, "undo": "1"})
    page.post("/hits", {**back, "undo": "1"})
    page.post("/hits", {**back, "undo": "1"})
    assert "0 yes, 0 no" in page.get("/sets").text


def test_patches_come_as_pictures_and_reasons(page: RunningPage) -> None:
    picture = page.get("/pictures/patch", at="0,0,100,100@drive-0/000.jpg")
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    gone = page.get("/pictures/patch", at="600,0,100,100@drive-0/000.jpg")
    assert gone.status_code == 400 and "box is not in this picture" in gone.text
    assert gone.headers["content-type"].startswith("image/svg+xml")


@pytest.fixture
def own_page(tmp_path: Path) -> Iterator[tuple[RunningPage, Cluster]]:
    """A page over a cluster that the test may stop."""
    (tmp_path / "photos").mkdir()
    with serving_encoder(PictureEncoder()) as encoder:
        cluster = Cluster(tmp_path, 3, encoder)
        try:
            for number in range(9):
                with Client(cluster.router_address) as client:
                    list(client.ingest([(f"{number}.png", crop_bytes_of(number))]))
            data = tmp_path / "desk"
            with serving_page(cluster.router_address, tmp_path / "photos", data) as running:
                yield running, cluster
        finally:
            cluster.close()


def test_a_degraded_answer_says_what_is_missing(own_page: tuple[RunningPage, Cluster]) -> None:
    page, cluster = own_page
    assert "Degraded answer" not in page.get("/", t="text:bus").text
    cluster.stop_shard(1)
    answer = page.get("/", t="text:bus")
    assert answer.status_code == 200
    assert "Degraded answer" in answer.text and "1 of 3 partitions did not answer" in answer.text
    status = page.get("/status").text
    assert "2 of 3 partitions answer" in status and "67 %" in status
    states = re.findall(r'<span class="(?:ok|on|down)">(in use|behind|joining|away)<', status)
    assert sorted(states) == ["away", "in use", "in use"]
    assert "Not measured yet" in status


def test_the_status_page_tells_recall_and_every_replica(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with (
        running(FakeCollection()) as router,
        serving_page(router, tmp_path / "photos", tmp_path / "desk") as page,
    ):
        text = page.get("/status").text
    assert "0.8750" in text and "14 of 16" in text and "0.7500" in text
    for state in ("in use", "behind", "joining", "away"):
        assert f">{state}</span>" in text
    assert "1 of 2 partitions answer" in text and "50 %" in text


def test_a_router_that_is_gone_is_told_clearly(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with serving_page("127.0.0.1:9", tmp_path / "photos", tmp_path / "desk") as page:
        for path in ("/", "/?t=text:bus", "/status"):
            answer = page.client.get(path)
            assert answer.status_code == 503
            assert "The router does not answer" in answer.text and "UNREACHABLE" in answer.text
        assert page.get("/sets").status_code == 200


def crop_bytes_of(seed: int) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(crop_bytes(seed))).resize((300, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def page_router(page: RunningPage) -> str:
    match = re.search(r"<dt>router</dt><dd>([^ <]+)", page.get("/status").text)
    assert match
    return match[1]
