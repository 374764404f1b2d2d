"""What the page must never do."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsearch import Client, Photo
from patchsearch.errors import InvalidArgument, NotFound, PermissionDenied
from tests.contract.cluster import Cluster, serving_encoder
from tests.ui.conftest import RunningPage, crop_bytes, photo_file, serving_page
from tests.ui.picture_encoder import PictureEncoder
from ui.photo_reader import RootedPhotos
from ui.settings import make_settings

HOSTILE = (
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "'-alert(1)-'.jpg",
    "{{7*7}}${7*7}.jpg",
    "javascript:alert(1)//.jpg",
    "</title><svg onload=alert(1)>.jpg",
    "a\u202egpj.exe.jpg",
)
CHANGES = ("/hits", "/uploads", "/sets", "/exports", "/ingest", "/access")


def test_every_answer_carries_the_headers(page: RunningPage) -> None:
    for path in ("/", "/sets", "/nowhere", "/static/desk.css", "/pictures/patch?at=x", "/healthz"):
        headers = page.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"


def test_no_page_holds_scripts_or_styles_of_its_own(page: RunningPage) -> None:
    for path in ("/", "/?t=text:bus", "/sets", "/status", "/ingest", "/photo?id=drive-0/000.jpg"):
        text = page.client.get(path).text
        assert not re.search(r"<style|style=|<script(?! src=\"/static/)|\son\w+=", text), path
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), path


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_needs_the_token(page: RunningPage, path: str) -> None:
    token = page.csrf()
    for form in ({}, {"csrf": ""}, {"csrf": token[:-1] + "x"}):
        assert page.client.post(path, data=form).status_code == 403
    assert page.client.get(path).status_code in (200, 405)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_change_from_another_site_is_refused(page: RunningPage, headers: dict[str, str]) -> None:
    form = {"do": "create", "name": "x"}
    assert page.post("/sets", form, headers=headers).status_code == 403
    assert "No sets yet" in page.get("/sets").text


def test_a_foreign_host_name_is_refused(page: RunningPage) -> None:
    assert page.client.get("/", headers={"host": "evil.example"}).status_code == 421


@pytest.fixture(scope="module")
def hostile_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A collection whose ids, metadata and file names try to be markup."""
    home = tmp_path_factory.mktemp("hostile")
    with serving_encoder(PictureEncoder()) as encoder:
        cluster = Cluster(home, 1, encoder)
        photos = []
        for number, name in enumerate(HOSTILE):
            path = photo_file(home / "photos" / name.replace("/", "_"), number, (200, 200))
            metadata = {name: {"time": number, "lat": number, "lon": number}, "drive": name}
            photos.append(Photo(name, path, uri=str(path), metadata=metadata))
        with Client(cluster.router_address) as client:
            results = list(client.ingest(photos))
        assert [result.error for result in results] == [None] * len(HOSTILE)
        yield cluster.router_address, home / "photos"
        cluster.close()


def test_hostile_names_are_shown_and_nothing_more(
    hostile_cluster: tuple[str, Path], tmp_path: Path
) -> None:
    address, photos = hostile_cluster
    with serving_page(address, photos, tmp_path / "desk") as page:
        pages = [
            "/",
            "/photos",
            "/?t=text:bus&group=drive&k=50",
            "/facets",
            "/more?after=1|0,0,1,1@a",
        ]
        pages = [page.client.get(path).text for path in pages]
        for name in HOSTILE:
            pages.append(page.get("/photo", id=name, t=f"text:{name}").text)
            pages.append(page.get("/photo/selection", id=name).text)
            pages.append(page.get("/", t=f"text:{name}", filter=name).text)
            pages.append(page.post("/sets", {"do": "create", "name": name}).text)
            picture = page.get("/pictures/photo", id=name)
            assert picture.status_code == 200, picture.text
    for text in pages:
        for bad in ("<script>alert", "<img src=x", "<svg onload", "49.jpg", 'href="javascript'):
            assert bad not in text.lower(), text[:300]
    assert html.escape(HOSTILE[0]) in pages[1]


OUTSIDE = (
    "/etc/passwd",
    "../secret.jpg",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "file://evil.example/photo.jpg",
    "linked.jpg",
    "linked-folder/secret.jpg",
    "/proc/self/environ",
    "http://127.0.0.1:1/x.jpg",
    "s3://elsewhere/x.jpg",
    "s3://bucket/drives/../../other/x.jpg",
    "s3://bucket/drives/%2e%2e/other.jpg",
    "s3://bucket/drivesX/x.jpg",
    "local:///etc/passwd",
    "a\x00b.jpg",
    "~/x.jpg",
)


@pytest.fixture
def rooted(tmp_path: Path) -> RootedPhotos:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    root = tmp_path / "photos"
    photo_file(root / "inside.jpg", 1)
    os.symlink(tmp_path / "secret.jpg", root / "linked.jpg")
    os.symlink(tmp_path, root / "linked-folder")
    os.symlink(root / "inside.jpg", root / "good-link.jpg")
    os.mkfifo(root / "pipe.jpg")
    return RootedPhotos([str(root), "s3://bucket/drives"], largest_mb=1)


@pytest.mark.parametrize("uri", OUTSIDE)
def test_nothing_outside_the_roots_is_opened(rooted: RootedPhotos, uri: str) -> None:
    with pytest.raises((PermissionDenied, NotFound)) as refused:
        rooted.read(uri, "id")
    assert "/etc" not in refused.value.message and "secret" not in refused.value.message


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/drives/a::file:///etc/passwd",
        "simplecache::file:///etc/passwd",
        "zip://a::b",
        "simplecache::s3://bucket/drives/a.jpg",
    ],
)
def test_an_address_inside_another_is_refused(rooted: RootedPhotos, uri: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        rooted.read(uri, "id")
    assert refused.value.reason == "URI_CHAINED" and "/etc" not in refused.value.message


def test_what_is_inside_is_read(rooted: RootedPhotos, tmp_path: Path) -> None:
    inside = (tmp_path / "photos" / "inside.jpg").read_bytes()
    for uri in (
        "inside.jpg",
        "./x/../inside.jpg",
        str(tmp_path / "photos/inside.jpg"),
        "good-link.jpg",
    ):
        assert rooted.read(uri, "id") == inside
    assert rooted.read(f"file://{tmp_path}/photos/inside.jpg", "id") == inside
    assert rooted.read("", "inside.jpg") == inside


def test_what_is_no_photo_file_is_refused(rooted: RootedPhotos, tmp_path: Path) -> None:
    (tmp_path / "photos" / "large.jpg").write_bytes(b"x" * (1024 * 1024 + 1))
    for uri in ("pipe.jpg", "large.jpg", ".", "none.jpg"):
        with pytest.raises((InvalidArgument, NotFound, PermissionDenied)):
            rooted.read(uri, "id")


def test_pictures_are_named_by_the_collection_alone(page: RunningPage, tmp_path: Path) -> None:
    secret = photo_file(tmp_path / "secret.jpg", 5)
    for params in (
        {"id": str(secret)},
        {"id": "drive-0/000.jpg", "uri": str(secret)},
        {"id": "../secret.jpg"},
    ):
        answer = page.get("/pictures/photo", **params)
        if answer.status_code == 200:
            assert answer.content == page.get("/pictures/photo", id="drive-0/000.jpg").content
        else:
            assert answer.status_code == 404
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert page.client.get(path).status_code == 404


def test_uploads_are_pictures_of_a_bounded_size(
    router_address: str, filled: Path, tmp_path: Path
) -> None:
    with serving_page(
        router_address, filled, tmp_path / "desk", upload_mb=1, photo_megapixels=1
    ) as page:
        large = {"picture": ("a.png", b"\x89PNG" + b"x" * (2 << 20), "image/png")}
        assert page.post("/uploads", {}, files=large).status_code == 413
        for content in (b"", b"GIF89a", b"<svg onload=alert(1)>", b"%PDF-1.4"):
            answer = page.post("/uploads", {}, files={"picture": ("a.png", content, "image/png")})
            assert answer.status_code == 400, content
        bomb = photo_file(tmp_path / "bomb.jpg", 1, (2000, 2000)).read_bytes()
        answer = page.post("/uploads", {}, files={"picture": ("a.jpg", bomb, "image/jpeg")})
        assert answer.status_code == 413
        good = {"picture": ("../../x.png", crop_bytes(1), "image/png")}
        assert page.post("/uploads", {}, files=good).status_code == 200
    stored = [f for f in (tmp_path / "desk" / "uploads").rglob("*") if f.is_file()]
    assert len(stored) == 1 and re.fullmatch("[0-9a-f]{64}", stored[0].name)


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_nobody_is_sent_to_another_site(page: RunningPage, back: str) -> None:
    page.post("/sets", {"do": "create", "name": "x"})
    form = {"csrf": page.csrf(), "do": "close", "back": back}
    answer = page.client.post("/sets", data=form, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_the_access_token_opens_the_page(router_address: str, filled: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-enough-characters\n")
    with serving_page(router_address, filled, tmp_path / "desk", access_token_file=token) as page:
        assert "Access token" in page.get("/").text
        assert (
            page.client.get("/pictures/photo?id=drive-0/000.jpg")
            .headers["content-type"]
            .startswith("text/html")
        )
        assert page.client.post("/hits", data={}).status_code != 204
        assert page.post("/access", {"token": "wrong"}).status_code == 401
        opened = page.post("/access", {"token": "a-token-of-enough-characters", "next": "/sets"})
        assert opened.url.path == "/sets" and "No sets yet" in opened.text
        assert "a-token" not in str(page.client.cookies)


def test_strangers_need_a_token() -> None:
    with pytest.raises(InvalidArgument, match="access-token-file"):
        make_settings(host="0.0.0.0")
    make_settings(host="0.0.0.0", open_to_network=True)
