from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patchsearch.serving import Programs

FAKE = Path(__file__).with_name("fake_service.py")


@dataclass(frozen=True)
class Trace:
    """What the fake services wrote down: one file a start."""

    directory: Path

    def starts(self, role: str) -> list[list[str]]:
        """Command lines of a role's starts, oldest first."""
        files = sorted(self.directory.glob(f"{role}-*.json"), key=lambda f: f.stat().st_mtime_ns)
        return [json.loads(file.read_text()) for file in files]

    def pids(self) -> list[int]:
        return [int(file.stem.rpartition("-")[2]) for file in self.directory.glob("*.json")]


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trace:
    directory = tmp_path / "trace"
    directory.mkdir()
    monkeypatch.setenv("FAKE_TRACE", str(directory))
    return Trace(directory)


@pytest.fixture
def fakes(trace: Trace) -> Programs:
    """Command lines of the fake services."""

    def line(role: str) -> tuple[str, ...]:
        return (sys.executable, str(FAKE), role)

    return Programs(encoder=line("encoder"), shard=line("shard"), router=line("router"))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


Eventually = Callable[..., Any]


@pytest.fixture
def eventually() -> Eventually:
    """eventually(condition, timeout_s=60): the first true value of `condition()`, or a failure."""

    def wait(condition: Callable[[], Any], timeout_s: float = 60) -> Any:
        until = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < until, "it did not come about in time"
            time.sleep(0.05)

    return wait


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive
