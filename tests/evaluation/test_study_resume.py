"""A run that is killed takes its workers with it, and the next one ends as if nothing had been."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evaluation.study.store import FILE
from patchsearch.cli.app import run
from tests.evaluation.study_folders import put_scenes

PHOTOS = 12
TIMEOUT_S = 240
VOLATILE = ("run", "timings")


def arguments(folder: Path, out: Path) -> list[str]:
    options = (
        "--no-search --selectors multisize-filtered,hierarchical-filtered --workers 1"
        " --saliency spectral-residual"
    )
    return ["evaluate", str(folder), *options.split(), "--report", str(out)]


def wait_for(happens: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not happens():
        assert time.monotonic() < end, f"waited {TIMEOUT_S} s for {what}"
        time.sleep(0.01)


def photos_done(out: Path) -> int:
    path = out / "work" / FILE
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            (count,) = db.execute("SELECT count(*) FROM photo").fetchone()
        except sqlite3.OperationalError:  # no table yet
            return 0
    return int(count)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def kept(out: Path) -> tuple[dict[str, Any], list[Any], list[Any]]:
    results = json.loads((out / "results.json").read_text())
    for key in VOLATILE:
        del results[key]
    with closing(sqlite3.connect(out / "work" / FILE)) as db:
        chosen = db.execute(
            "SELECT digest, key, boxes, level, score, warnings FROM chosen ORDER BY digest, key"
        ).fetchall()
        embedded = db.execute(
            "SELECT digest, encoder, boxes, vectors FROM embedded ORDER BY digest, id"
        ).fetchall()
    return results, chosen, embedded


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = put_scenes(tmp_path / "scenes", PHOTOS, 480, 270)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "patchsearch", *arguments(folder, killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: photos_done(killed) >= 2, "two photos")
        workers = children(process.pid)
        assert workers
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = photos_done(killed)
    assert 2 <= done < PHOTOS
    assert not (killed / "results.json").exists()
    wait_for(lambda: not any(map(is_running, workers)), "the workers' end")

    assert run(arguments(folder, killed)) == 0
    assert run(arguments(folder, whole)) == 0
    assert kept(killed) == kept(whole)
    assert len({row[0] for row in kept(whole)[1]}) == PHOTOS
