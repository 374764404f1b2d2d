"""`patchsearch ingest`: folders, manifests, resuming, bad photos."""

from __future__ import annotations

import json
from pathlib import Path


def test_a_bad_photo_is_reported_and_the_rest_is_stored(run, photos: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors.jsonl"
    done = run("ingest", photos, "--errors-to", errors, "--json")
    assert done.returncode == 1
    counts = json.loads(done.stdout)
    assert counts["stored"] + counts["unchanged"] == 5
    assert (counts["failed"], counts["complete"]) == (1, False)
    assert "broken.jpg" in done.stderr and "IMAGE_UNDECODABLE" in done.stderr
    (line,) = errors.read_text().splitlines()
    assert json.loads(line)["image_id"] == "broken.jpg"
    assert json.loads(line)["reason"] == "IMAGE_UNDECODABLE"


def test_what_is_in_is_skipped(run, stored: Path) -> None:
    again = run("ingest", stored / "*.jpg", stored / "drive 2", "--root", stored, "--json")
    counts = json.loads(again.stdout)
    assert (counts["stored"], counts["unchanged"], counts["failed"]) == (0, 5, 1)


def test_a_manifest_gives_ids_and_metadata(run, stored: Path, tmp_path: Path) -> None:
    lines = [
        {"image_id": "front/0\n1", "uri": str(stored / "0.jpg"), "drive": 7, "wet": True},
        {"image_id": "front/1", "uri": str(stored / "1.jpg"), "metadata": {"city": "Malmö"}},
    ]
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run("ingest", manifest, "--json")
    assert (done.returncode, json.loads(done.stdout)["stored"]) == (0, 2), done.stderr
    first = json.loads(run("get", "front/0\n1", "--json").stdout)
    assert first["image"]["metadata"] == {"drive": 7, "wet": True}
    assert first["image"]["uri"] == str(stored / "0.jpg")
    gone = json.loads(run("delete", "front/0\n1", "front/1", "never there", "--json").stdout)
    assert sorted(gone["deleted_image_ids"]) == ["front/0\n1", "front/1"]


def test_a_malformed_manifest_is_refused_with_its_line(run, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("image_id,uri\na,a.jpg\nb,\n")
    done = run("ingest", manifest)
    assert done.returncode == 1
    assert f"{manifest}:3" in done.stderr and "MANIFEST_INVALID" in done.stderr
    assert "Traceback" not in done.stderr


def test_places_without_photos_are_refused(run, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing", tmp_path / "*.jpg"):
        done = run("ingest", place)
        assert done.returncode == 1
        assert "PHOTOS_MISSING" in done.stderr
