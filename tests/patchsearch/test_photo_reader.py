"""Photos are read from where they are allowed to be, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsearch import errors
from patchsearch.photo_reader import PhotoReader


def reason(reader: PhotoReader, uri: str) -> str:
    with pytest.raises(errors.PatchsearchError) as refused:
        reader(uri)
    return refused.value.reason


def test_paths_and_file_uris_below_a_folder_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my photos"
    folder.mkdir()
    (folder / "ä b.jpg").write_bytes(b"pixels")
    monkeypatch.chdir(tmp_path)
    for place in (folder, str(folder), folder.as_uri(), "my photos"):
        reader = PhotoReader([place])
        for uri in (str(folder / "ä b.jpg"), (folder / "ä b.jpg").as_uri(), "my photos/ä b.jpg"):
            assert reader(uri) == b"pixels", (place, uri)
    assert reason(PhotoReader([folder]), str(folder / "gone.jpg")) == "PHOTO_MISSING"
    assert reason(PhotoReader([folder]), str(folder)) == "PHOTO_MISSING"


def test_nothing_else_is_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "inside out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    (inside / "link.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside / "loop")
    reader = PhotoReader([inside])
    for uri in (
        *("", ".", "/", "\0", "in", "/etc/passwd", "file:///etc/passwd", "FILE:///etc/passwd"),
        str(outside / "secret.jpg"),
        str(inside / "link.jpg"),
        str(inside / "folder" / "secret.jpg"),
        str(inside / ".." / "inside out" / "secret.jpg"),
        f"file://{inside}/%2e%2e/inside%20out/secret.jpg",
        str(inside / "loop"),
        *("http://127.0.0.1:1/a.jpg", "s3://bucket/a.jpg", f"local://{outside}/secret.jpg"),
    ):
        assert reason(reader, uri) in ("PHOTO_NOT_ALLOWED", "PHOTO_MISSING"), uri
    assert reason(PhotoReader([]), str(outside / "secret.jpg")) == "PHOTO_NOT_ALLOWED"


def test_other_stores_are_read_below_their_prefix() -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    with fsspec.open("memory://drives/7/a.jpg", "wb") as stream:
        stream.write(b"far away")
    with fsspec.open("memory://drives-of-others/a.jpg", "wb") as stream:
        stream.write(b"not yours")
    reader = PhotoReader(["memory://drives"])
    assert reader("memory://drives/7/a.jpg") == b"far away"
    assert reader.allows("memory://drives/8/b.jpg")
    assert reason(reader, "memory://drives/8/b.jpg") == "PHOTO_MISSING"
    for uri in (
        "memory://drives-of-others/a.jpg",
        "memory://drives/../drives-of-others/a.jpg",
        "memory://drives/%2e%2e/drives-of-others/a.jpg",
        "memory://drives/%252e%252e/drives-of-others/a.jpg",
    ):
        assert reason(reader, uri) == "PHOTO_NOT_ALLOWED", uri
    assert reason(PhotoReader(["nostore://a"]), "nostore://a/b.jpg") == "FILE_UNREADABLE"


def test_chained_addresses_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    (tmp_path / "a::b.jpg").write_bytes(b"only a name")
    reader = PhotoReader(["memory://drives", "zip://photos", tmp_path])
    for uri in (
        "simplecache::memory://drives/7/a.jpg",
        "filecache::file:///etc/passwd",
        "memory://drives/7/a.jpg::file:///etc/passwd",
        "zip://photos/a.jpg::memory://others/b.zip",
        "zip://a::b",
        f"simplecache::file://{tmp_path}/a::b.jpg",
    ):
        assert reason(reader, uri) == "URI_CHAINED", uri
        assert not reader.allows(uri), uri
    assert reader(str(tmp_path / "a::b.jpg")) == b"only a name"
    with pytest.raises(errors.InvalidArgument, match="plain addresses"):
        PhotoReader(["simplecache::s3://bucket/drives"])


def test_what_is_too_large_for_a_photo_is_refused(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    (tmp_path / "huge.jpg").write_bytes(bytes(1024 * 1024 + 1))
    with fsspec.open("memory://large/huge.jpg", "wb") as stream:
        stream.write(bytes(1024 * 1024 + 1))
    reader = PhotoReader([tmp_path, "memory://large"], largest_mb=1)
    assert reason(reader, str(tmp_path / "huge.jpg")) == "IMAGE_TOO_LARGE"
    assert reason(reader, "memory://large/huge.jpg") == "IMAGE_TOO_LARGE"
