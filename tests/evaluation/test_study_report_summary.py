"""The summary of several studies: every table under its command, and no photographs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation.study.report.summary.__main__ import main


def figures(mean: float, **more: object) -> dict[str, Any]:
    return {
        "precision_at_16": {"mean": mean, "std": 0.1},
        "map": 0.3,
        "chance": 0.004,
        "reachable": 0.9,
        "queries": 4,
        **more,
    }


def row(level: str, query: str, n: int, mean: float) -> dict[str, Any]:
    return {"level": level, "query": query, "n": n, **figures(mean, classes={"cat": figures(mean)})}


def option(name: str, value: float, vectors: int) -> dict[str, Any]:
    return {
        **row("grid", "image", 1, 0.625),
        "option": name,
        "value": value,
        "label": f"{name} {value}",
        "objects": {"16": 0.1, "100": 0.2},
        "findable": 0.5,
        "vectors": vectors,
        "vectors_per_photo": vectors / 10,
        "vector_bytes": vectors * 1024,
    }


RESULTS: dict[str, Any] = {
    "dataset": {"name": "cats | dogs", "photos": 10, "objects_counted": 33},
    "encoder": {"name": "mini"},
    "saliency": {"name": "flat"},
    "run": {"seconds": 61.0, "workers": 2, "cores": 2},
    "selection": [
        {"selector": "grid", "patches_per_image": 35.0, "mean": 0.61, "captured": {"cat": 0.61}},
        {"selector": "chance", "control": True, "patches_per_image": 35.0, "mean": 0.2},
    ],
    "curves": [
        {"selector": "grid", "patches_per_image": n, "captured": n / 100} for n in (1, 20, 35)
    ],
    "search": [row("image", "image", 1, 0.11), row("grid", "image", 1, 0.52),
               row("grid", "image", 20, 0.84), row("grid", "text", 1, 0.73)],
    "recall": [
        {"level": "grid", "query": "image", "n": 1, "objects": {"16": 0.31, "100": 0.42},
         "findable": 0.77, "curve": [[1, 0.1], [16, 0.31], [100, 0.42]], "map": 0.3}
    ],
    "profiles": [
        {"profile": "exact", **figures(0.52), "recall_at_16": 1.0, "bytes_per_vector": 1024.0,
         "ms_per_query": 0.5, "train_s": 0.0, "build_s": 1.0, "rescored": True},
        {"profile": "opq64", "skipped": "too few vectors"},
    ],
    "options": [option("margin", 0.1, 350), option("near-duplicates", 1.0, 350),
                option("near-duplicates", 0.9, 100)],
    "retrieval": {"level": "grid", "left_out": {"dog": "2 counted objects, fewer than 5"}},
}  # fmt: skip


def study(folder: Path, results: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_every_study_has_its_command_above_its_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = study(tmp_path / "one", RESULTS)
    other = study(tmp_path / "two", {**RESULTS, "dataset": {"name": "birds", "photos": 3}})
    assert main([f"{one}=patchsearch evaluate one --seed 1", str(other)]) == 0
    text = capsys.readouterr().out
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    by_title = {section.splitlines()[0]: section for section in sections[1:]}
    assert list(by_title)[2:4] == ["cats | dogs", "birds"]
    first = by_title["cats | dogs"]
    assert "    patchsearch evaluate one --seed 1\n" in first
    assert "    patchsearch evaluate birds\n" in by_title["birds"]
    wanted = "0.61, 0.52 (0.10), 0.84 (0.10), 0.73 (0.10), 0.625, 0.77, 61 s"
    for figure in wanted.split(", "):
        assert figure in first, figure
    assert "not measured: too few vectors" in first
    assert "dog (2)" in first
    assert "chance (control)" in first
    assert "cats \\| dogs" in text


def test_every_table_has_as_many_cells_in_all_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(study(tmp_path / "one", RESULTS))]) == 0
    tables = re.findall(r"(?:^\|.*\n)+", capsys.readouterr().out, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1, table


def test_pictures_are_there_small_and_only_of_generated_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = study(tmp_path / "real", RESULTS)
    made = study(tmp_path / "made", {**RESULTS, "dataset": {"name": "scenes-12-3", "photos": 12}})
    for folder in (real, made):
        (folder / "galleries").mkdir()
        sheet = Image.new("RGB", (1600, 800), "grey")
        sheet.save(folder / "galleries" / "02-animal-the-average-of-20-crops.jpg")
    images = tmp_path / "docs" / "images" / "quality"
    arguments = [str(real), str(made), "--images", str(images), "--relative", "images/quality"]
    assert main(arguments) == 0
    named = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", capsys.readouterr().out)
    assert {tmp_path / "docs" / name for _, name in named} == set(images.iterdir())
    assert all(len(alt) > 20 for alt, _ in named)
    assert all(re.fullmatch(r"[\w./-]+", name) for _, name in named)
    photographs = [name for _, name in named if name.endswith(".jpg")]
    assert photographs == ["images/quality/scenes-12-3-animal-the-average-of-20-crops.jpg"]
    assert sum(path.stat().st_size for path in images.iterdir()) < 150_000


def test_a_folder_without_results_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "RESULTS_MISSING" in said and len(said.splitlines()) == 1
