from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SUPERVISOR = Path(__file__).with_name("fake_supervisor.py")


@pytest.fixture
def supervise(trace: Any, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """supervise(DIR): `patchsearch serve` over the fake services as a process."""
    processes = []

    def start(directory: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SUPERVISOR), str(directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def pids(directory: Path) -> list[int]:
    told = json.loads((directory / "serve.json").read_text())
    return [facts["pid"] for facts in told["processes"].values()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(
    supervise: Any, tmp_path: Path, is_alive: Any, number: int
) -> None:
    process = supervise(tmp_path / "data")
    line = process.stdout.readline()
    children = pids(tmp_path / "data")

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert f"patchsearch serves {tmp_path / 'data'} at 127.0.0.1:" in line
    assert (process.returncode, out) == (0, "")
    assert "stopping" in err
    assert len(children) == 3
    assert not any(is_alive(pid) for pid in children)


def test_killed_outright_it_leaves_no_children(
    supervise: Any, tmp_path: Path, eventually: Any, is_alive: Any
) -> None:
    process = supervise(tmp_path / "data")
    process.stdout.readline()
    children = pids(tmp_path / "data")
    assert all(is_alive(pid) for pid in children)

    process.kill()
    process.wait(10)

    eventually(lambda: not any(is_alive(pid) for pid in children))


def test_killed_while_starting_it_leaves_no_children(
    supervise: Any, tmp_path: Path, trace: Any, eventually: Any, is_alive: Any
) -> None:
    process = supervise(tmp_path / "data")
    eventually(lambda: trace.pids())

    process.kill()
    process.wait(10)

    eventually(lambda: len(trace.pids()) >= 2 and not any(is_alive(p) for p in trace.pids()))


def test_what_hinders_it_is_one_line(supervise: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a directory")

    process = supervise(tmp_path / "data")
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"patchsearch serve: cannot use {tmp_path / 'data'}")
    assert line.endswith("[DATA_DIR_UNUSABLE]")
