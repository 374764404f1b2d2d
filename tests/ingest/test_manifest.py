"""Manifests: CSV and JSON Lines, and what is wrong with a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest import Manifest
from patchsearch.errors import InvalidArgument


def manifest(folder: Path, name: str, text: str) -> Manifest:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return Manifest(path)


def test_csv_columns_become_metadata(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "l.csv", "image_id,uri,city,speed\nx/1,a.jpg,Lund,\n,b.jpg,,30\n")
    assert listed.check() == 2
    first, second = listed
    assert (first.image_id, first.uri, dict(first.metadata)) == ("x/1", "a.jpg", {"city": "Lund"})
    assert first.path == tmp_path / "a.jpg"
    assert (second.image_id, dict(second.metadata)) == ("b.jpg", {"speed": "30"})


def test_json_lines_keep_types_and_merge_metadata(tmp_path: Path) -> None:
    text = '{"uri": "a.jpg", "n": 3, "metadata": {"wet": true}}\n\n{"uri": "file:///b%20c.jpg"}\n'
    first, second = manifest(tmp_path, "l.jsonl", text)
    assert dict(first.metadata) == {"n": 3, "wet": True}
    assert second.path == Path("/b c.jpg")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("l.csv", "image_id\na\n", 1),
        ("l.csv", "image_id,uri\na,\n", 2),
        ("l.csv", "uri,city\na.jpg,Lund,extra\n", 2),
        ("l.jsonl", '{"uri": "a.jpg"}\n{broken\n', 2),
        ("l.jsonl", '{"uri": "a.jpg"}\n["b.jpg"]\n', 2),
        ("l.jsonl", '{"image_id": 4, "uri": "a.jpg"}\n', 1),
        ("l.jsonl", "", 1),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, text: str, line: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        manifest(tmp_path, name, text).check()
    assert caught.value.reason == "MANIFEST_INVALID"
    assert f"{name}:{line}:" in caught.value.message


def test_an_id_twice_names_both_lines(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "l.csv", "image_id,uri\na,1.jpg\nb,2.jpg\na,3.jpg\n")
    with pytest.raises(InvalidArgument, match="line 2") as caught:
        listed.check()
    assert caught.value.reason == "IMAGE_ID_REPEATED"


def test_other_files_are_refused(tmp_path: Path) -> None:
    for listed in (Manifest(tmp_path / "missing.csv"), manifest(tmp_path, "list.txt", "a.jpg")):
        with pytest.raises(InvalidArgument) as caught:
            listed.check()
        assert caught.value.reason == "MANIFEST_INVALID"
