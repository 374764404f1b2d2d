"""Finding photos: folders, files, patterns, and the ids they get."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest import find_photos
from patchsearch.errors import InvalidArgument


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "note.txt", ".hidden.jpg", "deep/er/c.webp", ".git/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"pixels")
    return tmp_path


def ids(*places: str | Path, root: Path | None = None) -> list[str]:
    return [source.image_id for source in find_photos(places, root)]


def test_folders_are_searched_through_in_order_and_hidden_ones_are_not(folder: Path) -> None:
    assert ids(folder) == ["a.png", "b.JPG", "deep/er/c.webp"]


def test_the_uri_is_the_absolute_path(folder: Path) -> None:
    (source,) = find_photos([folder / "a.png"])
    assert source.uri == str(folder / "a.png")
    assert source.photo().image_id == "a.png"


def test_patterns_give_ids_from_before_their_first_wildcard(folder: Path) -> None:
    assert ids(str(folder / "**" / "*.webp")) == ["deep/er/c.webp"]


def test_a_root_makes_ids_longer(folder: Path) -> None:
    assert ids(folder / "deep", root=folder) == ["deep/er/c.webp"]


@pytest.mark.parametrize("place", ["missing", "*.gif", "note.d", "empty"])
def test_a_place_without_photos_is_refused(folder: Path, place: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InvalidArgument) as caught:
        ids(folder / place)
    assert caught.value.reason == "PHOTOS_MISSING"


def test_two_photos_of_one_id_are_refused(folder: Path) -> None:
    (folder / "deep" / "a.png").write_bytes(b"other")
    with pytest.raises(InvalidArgument, match="--root") as caught:
        ids(folder / "a.png", folder / "deep" / "a.png")
    assert caught.value.reason == "IMAGE_ID_REPEATED"


def test_a_photo_outside_the_root_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ids(folder / "a.png", root=folder / "deep")
    assert caught.value.reason == "PHOTO_OUTSIDE_ROOT"
