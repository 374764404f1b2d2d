"""`patchsearch evaluate` from end to end on a few small scenes and some odd photos."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evaluation.relevance import captures_any
from evaluation.study.loading import load_dataset
from evaluation.study.photo_files import PhotoRefused, read_photo
from evaluation.study.results import plain, write_results
from patch_selection import SELECTORS, load_saliency, select_patches
from patchsearch.cli.app import run
from tests.evaluation.study_folders import BROKEN, add_odd_photos, put_scenes

THESIS = ["baseline-unfiltered", "baseline-filtered", "multisize-filtered", "hierarchical-filtered"]
QUICK = (
    "--workers 1 --min-objects 2 --queries-per-class 3 --profiles none --studies none"
    " --saliency spectral-residual"
).split()

SALIENCY = load_saliency("spectral-residual")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = put_scenes(tmp_path_factory.mktemp("run") / "scenes", 6)
    add_odd_photos(folder)
    document = json.loads((folder / "annotations.json").read_text())
    document["annotations"].append({"image_id": 1, "category_id": 1, "bbox": [0, 0, 0, 5]})
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "new"
    assert run(["evaluate", str(folder), "--report", str(out), *QUICK]) == 0
    return out


@pytest.fixture(scope="module")
def results(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((report / "results.json").read_text())
    return found


def test_the_head_says_what_was_measured(results: dict[str, Any]) -> None:
    about = results["dataset"]
    assert (about["name"], about["photos"]) == ("scenes", 10)
    assert about["problems"] == {"photo_undecodable": 1, "box_empty": 1}
    assert about["problem_examples"]["photo_undecodable"] == [BROKEN]
    assert 0 < about["objects_counted"] <= about["objects"]
    assert results["encoder"]["name"] == "mini"
    assert results["encoder"]["fingerprint"].endswith("-float32")
    assert results["saliency"]["name"] == SALIENCY.name
    assert results["run"]["seconds"] > 0


def test_selectors_stand_beside_their_controls(folder: Path, results: dict[str, Any]) -> None:
    rows = {row["selector"]: row for row in results["selection"]}
    names = list(SELECTORS)
    assert names[:4] == THESIS
    assert list(rows) == [
        "whole-image",
        *names,
        *(f"uniform-random:{name}" for name in names),
    ]
    assert [row["control"] for row in rows.values()] == [
        True,
        *([False] * len(names)),
        *([True] * len(names)),
    ]
    for name in names:
        chance = rows[f"uniform-random:{name}"]
        assert chance["patches_per_image"] == pytest.approx(rows[name]["patches_per_image"])

    found, patches, photos = [], 0, 0
    for photo in load_dataset(folder).photos:
        try:
            pixels = read_photo(photo.path)
        except PhotoRefused:
            continue
        boxes = [p.box for p in select_patches(pixels, SALIENCY, SELECTORS[names[3]]).patches]
        photos, patches = photos + 1, patches + len(boxes)
        counted = [one for one in photo.objects if one.counted]
        found += [any(captures_any(box, [one.box]) for box in boxes) for one in counted]
    row = rows["hierarchical-filtered"]
    assert row["patches_per_image"] == pytest.approx(patches / photos)
    assert row["mean"] == pytest.approx(sum(found) / len(found))
    assert sum(row["objects"].values()) == len(found) == results["dataset"]["objects_counted"]
    weighted = sum(row["captured"][name] * count for name, count in row["objects"].items())
    assert row["mean"] == pytest.approx(weighted / len(found))
    assert set(row["captured_groups"]) <= {"ambulance", "animal", "road-narrows"}


def test_curves_rise_and_end_where_the_selectors_are(results: dict[str, Any]) -> None:
    rows = {row["selector"]: row for row in results["selection"]}
    curves: dict[str, list[dict[str, Any]]] = {}
    for point in results["curves"]:
        curves.setdefault(point["selector"], []).append(point)
    assert set(curves) >= {*THESIS, "whole-image", "uniform-random:hierarchical-filtered"}
    for name in ("baseline-filtered", "multisize-filtered"):
        assert [point["budget"] for point in curves[name]] == list(range(1, 101))
        for one, other in pairwise(curves[name]):
            assert one["captured"] <= other["captured"]
            assert one["patches_per_image"] <= other["patches_per_image"]
    for name in THESIS[1:]:
        (usual,) = [point for point in curves[name] if point["budget"] == 35]
        assert usual["captured"] == pytest.approx(rows[name]["mean"])
        assert usual["patches_per_image"] == pytest.approx(rows[name]["patches_per_image"])
    (point,) = curves["baseline-unfiltered"]
    assert (point["budget"], point["captured"]) == (None, rows["baseline-unfiltered"]["mean"])


def test_times_and_warnings_are_told(results: dict[str, Any]) -> None:
    stages = {"decode", "saliency", "scoring", "crop_resize", "embed", "total"}
    told = {(row["selector"], row["stage"]): row["ms"] for row in results["timings"]}
    assert set(told) >= {(name, stage) for name in THESIS for stage in stages}
    assert told["baseline-unfiltered", "saliency"] == 0
    assert all(ms > 0 for (name, _), ms in told.items() if name != "baseline-unfiltered")
    assert all(row["cpu_ms"] > 0 for row in results["timings"] if row["ms"] > 1)
    # The black photo, and the tiny one that no window fits in.
    sentences = [row["warning"] for row in results["warnings"]]
    assert any("same everywhere" in sentence for sentence in sentences)
    assert any("no window fits" in sentence for sentence in sentences)


def test_searches_are_in_the_same_results(results: dict[str, Any]) -> None:
    assert {row["level"] for row in results["search"]} >= {"image", *THESIS}
    for row in results["search"]:
        assert {"level", "query", "n", "precision_at_16"} <= set(row)
        assert 0 <= row["precision_at_16"]["mean"] <= 1
    assert {"profiles", "recall", "options"} <= set(results)


def test_files_lie_beside_each_other(report: Path, results: dict[str, Any]) -> None:
    assert "scenes" in (report / "index.html").read_text()
    with (report / "selection.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    whole = {line["selector"]: line for line in lines if line["class"] == "(all)"}
    for row in results["selection"]:
        assert float(whole[row["selector"]]["captured"]) == row["mean"]
    car = [line for line in lines if line["class"] == "car"]
    assert len(car) == len(whole)
    for name in ("curves", "timings", "warnings"):
        with (report / f"{name}.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(results[name])
    assert not list(report.glob("*.part"))


def test_a_quick_look_without_searches_uses_what_is_there(
    folder: Path, report: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = "--limit 4 --no-search --no-curve --selectors multisize-filtered".split()
    options += ["--saliency", SALIENCY.name]
    work = ["--work", str(report / "work"), "--report", str(tmp_path)]
    assert run(["evaluate", str(folder / "annotations.json"), *options, *work, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["dataset"]["photos"] == 4
    assert [row["selector"] for row in told["selection"]] == [
        "whole-image",
        "multisize-filtered",
        "uniform-random:multisize-filtered",
    ]
    assert told["curves"] == [] and "search" not in told
    assert not (tmp_path / "work").exists()


def test_too_few_objects_to_search_for_are_a_note(
    folder: Path, report: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = "--limit 1 --no-curve --selectors multisize-filtered".split()
    options += ["--saliency", SALIENCY.name]
    work = ["--work", str(report / "work"), "--report", str(tmp_path)]
    assert run(["evaluate", str(folder), *options, *work]) == 0
    assert "no searches: no class" in capfd.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert "search" not in results and (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "DATASET_MISSING"),
        (["{folder}", "--scenes", "3"], "DATASET_MISSING"),
        (["{folder}/images"], "DATASET_MISSING"),
        (["{folder}", "--selectors", "best"], "SELECTOR_UNKNOWN"),
        (["{folder}", "--saliency", "best"], "SALIENCY_UNKNOWN"),
        (["{folder}", "--encoder", "best"], "ENCODER_UNKNOWN"),
        (["{folder}", "--level", "best"], "STUDY_INVALID"),
        (["{folder}", "--studies", "best"], "STUDY_INVALID"),
        (["{folder}", "--profiles", "exact,best"], "PROFILE_UNKNOWN"),
    ],
)
def test_what_cannot_be_run_is_refused(
    folder: Path,
    tmp_path: Path,
    arguments: list[str],
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = [one.format(folder=folder) for one in arguments]
    assert run(["evaluate", *given, "--report", str(tmp_path / "out")]) == 1
    assert f"[{reason}]" in capfd.readouterr().err
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_report_where_none_can_be_is_refused(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["evaluate", str(folder), "--report", str(tmp_path / "file" / "out")]) == 1
    assert "[FOLDER_UNWRITABLE]" in capfd.readouterr().err


def test_only_what_json_has_is_written(tmp_path: Path) -> None:
    assert plain({"a": (1, float("nan")), 2: [float("inf"), True, None, Path("p")]}) == {
        "a": [1, None],
        "2": [None, True, None, "p"],
    }
    with pytest.raises(TypeError, match="object has no place in JSON"):
        write_results(tmp_path, {"a": object()})
    assert not list(tmp_path.iterdir())
