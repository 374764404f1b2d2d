"""`patchsearch judge`, `search --judged` and `export`: a loop of feedback, by file alone."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from patchsearch.exports.set_file import read_set


@pytest.fixture(scope="module")
def hits(run, stored: Path) -> str:
    """Eight hits, as `search --json` prints them."""
    done = run("search", "--text", "a car", "-k", 8, "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def answer(hits: str, tmp_path: Path) -> Path:
    path = tmp_path / "hits.json"
    path.write_text(hits, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_round_of_judging(here, answer: Path, tmp_path: Path, suffix: str) -> None:
    hits = json.loads(answer.read_text("utf-8"))["hits"]
    cars = tmp_path / f"cars{suffix}"
    made = json.loads(here("judge", cars, "--add", answer, "--label", "car", "--json").stdout)
    assert (made["items"], made["added"], made["unjudged"], made["precision"]) == (8, 8, 8, None)
    told = here("judge", cars, "--yes", "1,3-4", "--no", "2", "--skip", 5)
    assert told.returncode == 0, told.stderr
    assert "3 yes, 1 no, 1 skipped, 3 unjudged; precision 0.75" in told.stdout
    found = read_set(cars)
    assert [item.image_id for item in found] == [hit["image_id"] for hit in hits]
    assert [item.verdict.value for item in found] == ["yes", "no", "yes", "yes", "skip", "", "", ""]
    assert {item.label for item in found} == {"car"}

    again = json.loads(here("search", "--judged", cars, "-k", 8, "--json").stdout)
    # The accepted patches themselves are what lies nearest to their mean.
    accepted = {json.dumps([h["image_id"], h["box"]]) for h in (hits[0], hits[2], hits[3])}
    nearest = {json.dumps([h["image_id"], h["box"]]) for h in again["hits"][:4]}
    assert len(accepted & nearest) >= 2
    fresh = json.loads(
        here("search", "--text", "a car", "--judged", cars, "--new", "-k", 6, "--json").stdout
    )
    places = {json.dumps([h["image_id"], h["box"]]) for h in fresh["hits"]}
    assert len(fresh["hits"]) == 6
    assert not places & {json.dumps([h["image_id"], h["box"]]) for h in hits[:5]}

    (tmp_path / "fresh.json").write_text(json.dumps(fresh), encoding="utf-8")
    grown = json.loads(here("judge", cars, "--add", tmp_path / "fresh.json", "--json").stdout)
    assert grown["items"] == 8 + grown["added"] and 3 <= grown["added"] <= 6
    rest = json.loads(here("judge", cars, "--clear", 5, "--rest", "no", "--json").stdout)
    assert (rest["yes"], rest["skip"], rest["unjudged"]) == (3, 0, 0)


def test_verdicts_can_be_written_with_an_editor(here, answer: Path, tmp_path: Path) -> None:
    cars = tmp_path / "cars.csv"
    here("judge", cars, "--add", answer)
    with cars.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["verdict"], rows[1]["verdict"] = "yes", "no"
    with cars.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(reversed(rows[0])))
        writer.writeheader()
        writer.writerows(rows)
    told = json.loads(here("judge", cars, "--json").stdout)
    assert (told["yes"], told["no"], told["judged"]) == (1, 1, 0)


def test_an_answer_is_read_from_a_pipe(run, answer: Path, tmp_path: Path) -> None:
    done = run("judge", tmp_path / "a.jsonl", "--add", "-", stdin=answer.read_text("utf-8"))
    assert done.returncode == 0, done.stderr
    assert "8 patches, 8 of them new" in done.stdout


@pytest.mark.parametrize("format", ["coco", "csv", "yolo", "label-studio", "cvat", "crops"])
def test_a_set_is_exported(here, answer: Path, stored: Path, tmp_path: Path, format: str) -> None:
    cars, out = tmp_path / "cars.csv", tmp_path / "out"
    here("judge", cars, "--add", answer, "--yes", "1-3", "--no", "4-8")
    done = here("export", cars, "--format", format, "--out", out, "--photos", stored, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "format": format,
        "out": str(out),
        "items": 3,
        "warnings": [],
    }
    if format in ("yolo", "crops"):
        with zipfile.ZipFile(out) as archive:
            pictures = [n for n in archive.namelist() if n.startswith(("images/", "crops/"))]
            assert pictures
            with archive.open(pictures[0]) as picture:
                Image.open(picture).verify()
    every = here(
        "export", cars, "--format", format, "--out", out, "--photos", stored, "--verdict", "all"
    )
    assert "8 patches" in every.stdout


def test_a_photo_that_may_not_be_read_has_no_crop(here, answer: Path, tmp_path: Path) -> None:
    cars = tmp_path / "cars.csv"
    here("judge", cars, "--add", answer, "--yes", 1)
    done = here(
        "export", cars, "--format", "crops", "--out", tmp_path / "o.zip", "--photos", tmp_path
    )
    assert done.returncode == 1
    assert "PHOTO_NOT_ALLOWED" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["judge", "{set}", "--yes", "9"], 1, "ROWS_INVALID"),
        (["judge", "{set}", "--yes", "0"], 1, "ROWS_INVALID"),
        (["judge", "{set}", "--yes", "3-2"], 1, "ROWS_INVALID"),
        (["judge", "{set}", "--no", "one"], 1, "ROWS_INVALID"),
        (["judge", "{set}", "--rest", "maybe"], 2, "maybe"),
        (["judge", "{folder}/none.csv"], 1, "FILE_UNREADABLE"),
        (["judge", "{folder}/set.txt", "--add", "{answer}"], 1, "SET_SUFFIX_UNKNOWN"),
        (["judge", "{folder}/new.csv", "--add", "{set}"], 1, "FILE_UNREADABLE"),
        (["judge", "{folder}/new.csv", "--add", "{folder}/none.json"], 1, "FILE_UNREADABLE"),
        (["search", "--judged", "{folder}/none.csv"], 1, "FILE_UNREADABLE"),
        (["search", "--judged", "{set}"], 1, "QUERY_EMPTY"),
        (["search", "--text", "a", "--new"], 2, "--judged"),
        (["export", "{set}", "--format", "docx", "--out", "{folder}/o"], 1, "SET_EMPTY"),
        (
            ["export", "{set}", "--format", "docx", "--out", "{folder}/o", "--verdict", "none"],
            1,
            "EXPORT_FORMAT_UNKNOWN",
        ),
        (["export", "{set}", "--format", "coco", "--verdict", "all"], 2, "--out"),
        (["export", "{set}", "--format", "coco", "--verdict", "perhaps"], 2, "perhaps"),
        (
            ["export", "{set}", "--format", "crops", "--verdict", "all", "--out", "{folder}/o"],
            1,
            "PHOTOS_NEEDED",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(
    here, answer: Path, tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    unjudged = tmp_path / "set.csv"
    here("judge", unjudged, "--add", answer)
    before = unjudged.read_bytes()
    places = {"set": unjudged, "folder": tmp_path, "answer": answer}
    done = here(*(argument.format(**places) for argument in arguments))
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert unjudged.read_bytes() == before
