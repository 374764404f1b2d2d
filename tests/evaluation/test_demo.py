"""The demo as a command, small: real processes, real figures, nothing left running."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from evaluation.scenes import TARGET_CLASSES, generate_scene

SMALL = ("--scenes", "8", "--query-scenes", "12", "--seed", "3")


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evaluation.demo", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "120"},
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    done = run_demo("--out", str(folder), *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "precision@16" in done.stdout
    return folder


def test_the_figures_are_complete_and_possible(out: Path) -> None:
    results = json.loads((out / "results.json").read_text())
    precision = results["precision_at_16"]
    assert set(precision) == {"text", "crop", "average"}
    for classes in precision.values():
        assert set(classes) == {*TARGET_CLASSES, "mean"}
        assert all(0 <= value <= 1 for value in classes.values())
    assert results["ingest_photos_per_s"] > 0
    assert results["search_p50_ms"] > 0


def test_the_page_shows_every_sheet(out: Path) -> None:
    page = (out / "index.html").read_text()
    for name in TARGET_CLASSES:
        for way in ("text", "crop", "average"):
            assert f'src="{name}-{way}.png"' in page
            with Image.open(out / f"{name}-{way}.png") as sheet:
                assert sheet.width > 800


@pytest.mark.long
def test_a_second_run_uses_what_is_stored_and_finds_the_same(out: Path) -> None:
    before = json.loads((out / "results.json").read_text())
    done = run_demo("--out", str(out), *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every photo was stored already" in done.stdout
    after = json.loads((out / "results.json").read_text())
    assert after["precision_at_16"] == before["precision_at_16"]
    assert after["ingest_photos_per_s"] == before["ingest_photos_per_s"]


def test_nothing_is_left_running(out: Path) -> None:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(out) not in listed


@pytest.mark.long
def test_your_own_photographs_give_pictures(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        Image.fromarray(generate_scene(seed, 1001, 960, 540).pixels).save(photos / f"{seed}.jpg")
    (photos / "broken.jpg").write_bytes(b"no picture")
    done = run_demo("--out", str(tmp_path / "out"), "--photos", str(photos))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out broken.jpg" in done.stdout
    assert "precision_at_16" not in json.loads((tmp_path / "out" / "results.json").read_text())
    assert 'src="photos-like-0.png"' in (tmp_path / "out" / "index.html").read_text()


def test_a_folder_without_photographs_is_refused_in_one_line(tmp_path: Path) -> None:
    done = run_demo("--out", str(tmp_path / "out"), "--photos", str(tmp_path))
    assert done.returncode == 1
    assert "NO_PHOTOS" in done.stderr
    assert "Traceback" not in done.stderr
