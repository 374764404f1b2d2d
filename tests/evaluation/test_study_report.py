"""The report of a study: well-formed, complete, and right about what is right."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.study.model import StudyDataset
from evaluation.study.report import write_report
from evaluation.study.report.galleries import draw_gallery
from evaluation.study.retrieval import RetrievalOptions, RetrievalResults, run_retrieval
from evaluation.study.retrieval.examples import Example, ExampleHit
from patchsearch.geometry import Box
from tests.evaluation.study_material import LEVEL, FakeColourEmbedder, small_scenes, tables_of

VOID = {"meta", "img", "source", "br", "link"}

SELECTION = {
    "dataset": {"name": "small <scenes>", "problems": {"box_empty": 3}},
    "encoder": {"name": "fake-colours", "fingerprint": "1"},
    "saliency": "nothing",
    "selection": [
        {
            "selector": LEVEL,
            "control": False,
            "patches_per_image": 120.0,
            "captured": {"car": 0.5, "dog & cat": 1.0},
            "captured_groups": {"animal": 0.75},
            "objects": {"car": 4, "dog & cat": 2},
            "mean": 0.66,
        },
        {
            "selector": "whole-image",
            "control": True,
            "patches_per_image": 1.0,
            "captured": {"car": 0.0},
            "mean_captured": 0.1,
        },
    ],
    "curves": [
        {"selector": LEVEL, "control": False, "patches_per_image": n, "captured": n / 200}
        for n in (1, 30, 120)
    ]
    + [{"selector": "whole-image", "control": True, "patches_per_image": 1, "captured": 0.1}],
    "timings": [{"selector": LEVEL, "stage": "decode", "ms": 12.5}],
    "warnings": [{"selector": LEVEL, "warning": "a flat map", "photos": 2}],
}


class Page(HTMLParser):
    """Checks that elements close in order, and collects pictures, links and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.sources: list[str] = []
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(told)
        if tag == "source":
            self.sources.append(told["srcset"])
        if tag == "a":
            self.links.append(told["href"])
        if "id" in told:
            self.anchors.append(told["id"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> StudyDataset:
    return small_scenes(tmp_path_factory.mktemp("scenes"), 12)


@pytest.fixture(scope="module")
def retrieval(dataset: StudyDataset) -> RetrievalResults:
    embedder = FakeColourEmbedder()
    options = RetrievalOptions(
        averages=(1, 2),
        queries_per_class=4,
        draws=3,
        min_objects=3,
        margins=(0.0, 0.5),
        patches_per_photo=(2,),
        dropped=(0.5,),
        profiles=("exact",),
        profile_seconds=0.1,
        gallery_classes=2,
    )
    tables = tables_of(dataset, embedder)
    return run_retrieval(dataset, tables, embedder, options, lambda what, share: None)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, dataset: StudyDataset, retrieval: RetrievalResults
) -> Path:
    folder = tmp_path_factory.mktemp("report")
    results = json.loads(json.dumps({**SELECTION, **retrieval.as_json()}))
    (folder / "results.json").write_text(json.dumps(results))
    assert write_report(folder, results, dataset, retrieval) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page: Page, folder: Path) -> None:
    assert page.open == []
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.anchors
        else:
            assert (folder / link).is_file()
    assert len(page.anchors) == len(set(page.anchors))
    for anchor in ("selection", "search", "recall", "profiles", "options", "galleries", "about"):
        assert anchor in page.anchors


def test_every_picture_is_there_and_described(page: Page, folder: Path) -> None:
    names = [picture["src"] for picture in page.pictures]
    for name in ("captured.png", "precision.png", "found.png", "profiles.png", "options.png"):
        assert name in names
    for name in (*names, *page.sources):
        with Image.open(folder / name) as picture:
            assert picture.width > 300
    assert all(len(picture["alt"]) > 20 for picture in page.pictures)
    assert {f"{Path(name).stem}-dark.png" for name in names if "/" not in name} == set(page.sources)


def test_nothing_is_fetched_from_elsewhere(folder: Path) -> None:
    assert "http" not in (folder / "index.html").read_text(encoding="utf-8")


def test_names_are_escaped_and_problems_named(page: Page, folder: Path) -> None:
    assert "small <scenes>" in page.text
    assert "dog & cat" in page.text
    assert "small &lt;scenes&gt;" in (folder / "index.html").read_text(encoding="utf-8")
    assert "box empty" in page.text and "a flat map" in page.text


def test_the_figures_of_the_page_are_those_of_the_results(
    page: Page, retrieval: RetrievalResults
) -> None:
    for row in retrieval.search:
        told = row["precision_at_16"]
        assert f"{told['mean']:.2f} ({told['std']:.2f})" in page.words
    for row in retrieval.profiles:
        assert row["profile"] in page.words


def test_csv_files_hold_means_and_classes(folder: Path, retrieval: RetrievalResults) -> None:
    for part in ("search", "recall", "profiles", "options"):
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(lines) >= len(getattr(retrieval, part))
    with (folder / "search.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    wanted = 0
    for row in retrieval.search:
        for name, one in row["classes"].items():
            (line,) = (
                line
                for line in lines
                if (line["level"], line["query"], line["n"], line["class"])
                == (row["level"], row["query"], str(row["n"]), name)
            )
            assert float(line["precision_at_16_mean"]) == one["precision_at_16"]["mean"]
            wanted += 1
    assert len(lines) == wanted + len(retrieval.search)


def test_a_report_of_parts_has_those_parts(tmp_path: Path, dataset: StudyDataset) -> None:
    write_report(tmp_path, {}, dataset, None)
    empty = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert empty.open == [] and empty.anchors == ["about"] and not empty.pictures
    write_report(tmp_path, SELECTION, dataset, None)
    half = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert half.anchors == ["selection", "about"]
    assert [picture["src"] for picture in half.pictures] == ["captured.png"]


def test_right_hits_are_framed_green_and_wrong_ones_red(
    tmp_path: Path, dataset: StudyDataset
) -> None:
    hits = tuple(ExampleHit(i, Box(8, 8, 64, 64), 0.9 - i / 10, i % 2 == 0) for i in range(4))
    example = Example("dog", LEVEL, "one crop", ((5, Box(0, 0, 50, 50)),), (), 2 / 16, hits)
    ((_, picture),) = draw_gallery(tmp_path, dataset, [example])
    assert "2 of them right" in picture.alt
    sheet = np.asarray(Image.open(tmp_path / picture.file_name)).astype(int)
    # Frames lie around tiles of 176 px in steps of 192, the hits' row below the query's.
    (top,) = [y for y in range(250, 420) if _is_green(sheet[y, 28 + 80])][:1]
    for place, hit in enumerate(hits):
        pixel = sheet[top + 1, 28 + 192 * place + 80]
        assert _is_green(pixel) == hit.right, (place, pixel)
        assert (pixel[0] > pixel[1] + 80) == (not hit.right)


def _is_green(pixel: np.ndarray[Any, Any]) -> bool:
    return bool(pixel[1] > pixel[0] + 60 and pixel[1] > pixel[2] + 30)


def test_a_photo_that_has_gone_becomes_a_tile_that_says_so(
    tmp_path: Path, dataset: StudyDataset
) -> None:
    gone = StudyDataset(
        "gone",
        tuple(
            type(photo)(photo.name, tmp_path / "no.jpg", photo.width, photo.height, photo.objects)
            for photo in dataset.photos
        ),
        dataset.categories,
        {},
    )
    hit = ExampleHit(0, Box(0, 0, 50, 50), 0.5, True)
    example = Example("dog", LEVEL, "one crop", ((0, Box(0, 0, 9, 9)),), (), 1 / 16, (hit,))
    ((_, picture),) = draw_gallery(tmp_path, gone, [example])
    assert (tmp_path / picture.file_name).stat().st_size > 1000


def test_without_matplotlib_the_page_says_so(
    tmp_path: Path, folder: Path, dataset: StudyDataset
) -> None:
    # In a process of its own, whose imports find no matplotlib.
    script = (
        "import importlib.machinery, json, sys\n"
        "class Hidden(importlib.machinery.PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'matplotlib': return None\n"
        "        return super().find_spec(name, path, target)\n"
        "sys.meta_path[:] = [Hidden if one is importlib.machinery.PathFinder else one"
        " for one in sys.meta_path]\n"
        "from pathlib import Path\n"
        "from evaluation.study.model import StudyDataset\n"
        "from evaluation.study.report import write_report\n"
        "results = json.loads(Path(sys.argv[1]).read_text())\n"
        "write_report(Path(sys.argv[2]), results, StudyDataset('d', (), (), {}), None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "results.json"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "matplotlib is not installed" in page.text
    assert not page.pictures and "search" in page.anchors
