"""One served collection for the command line tests, and a way to run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from evaluation.scenes import generate_scene
from patchsearch.cli.app import run as run_command
from patchsearch.serving import EmbeddedCluster

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five scenes, one of them in a folder of its own, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "drive 2").mkdir()
    for seed in range(5):
        name = f"{seed}.jpg" if seed < 4 else "drive 2/Größe.jpg"
        Image.fromarray(generate_scene(seed, 1000 + seed, 800, 450).pixels).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff but no more")
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an embedded deployment that starts empty."""
    with EmbeddedCluster(tmp_path_factory.mktemp("served"), encoder="mini") as cluster:
        yield cluster.address


@pytest.fixture(scope="session")
def run(served: str) -> Run:
    """Runs `patchsearch` with these arguments against the served collection."""

    def run(
        *arguments: object, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "patchsearch", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PATCHSEARCH_ADDRESS": served, "COLUMNS": "200", **environment},
        )

    return run


@pytest.fixture(scope="session")
def stored(run: Run, photos: Path) -> Path:
    """The folder of photos, ingested."""
    done = run("ingest", photos)
    assert done.returncode == 1, done.stderr  # one of them is broken
    return photos


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(
    served: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs a command in this process, which is much quicker than in one of its own."""
    monkeypatch.setenv("PATCHSEARCH_ADDRESS", served)
    monkeypatch.setenv("COLUMNS", "200")

    def here(*arguments: object) -> Done:
        capfd.readouterr()
        code = run_command([str(argument) for argument in arguments])
        return Done(code, *capfd.readouterr())

    return here
