"""`patchsearch verify`: what it prints, and what it exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shard_service.directory_lock import DirectoryLock
from tests.shard_service.damaged_stores import PAGE, make_store


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_store(tmp_path / "partitions" / "p0" / "lmdb", np.random.default_rng(3), commits=6)
    return tmp_path


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "patchsearch", "verify", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


def zero_last_page(data: Path) -> None:
    path = data / "partitions" / "p0" / "lmdb" / "data.mdb"
    content = bytearray(path.read_bytes())
    content[2 * PAGE : 3 * PAGE] = bytes(PAGE)
    content[-PAGE:] = bytes(PAGE)
    path.write_bytes(content)


def test_an_intact_directory_exits_with_0(data: Path) -> None:
    done = verify(data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("p0: ") and done.stdout.endswith("segments: intact\n")
    told = json.loads(verify(data, "--json").stdout)
    assert told["intact"] is True
    (partition,) = told["partitions"]
    assert partition["partition"] == "p0" and partition["images"] > 10
    assert (partition["damages"], partition["lost_image_ids"]) == ([], [])


def test_a_damaged_directory_exits_with_1_and_tells(data: Path) -> None:
    zero_last_page(data)
    done = verify(data)
    assert done.returncode == 1 and "DAMAGES" in done.stdout and "lmdb:" in done.stdout
    told = json.loads(verify(data, "--json").stdout)
    assert told["intact"] is False
    assert told["partitions"][0]["damages"][0].keys() == {"place", "image_id", "detail"}


def test_a_directory_that_cannot_be_checked_exits_with_1(data: Path, tmp_path: Path) -> None:
    done = verify(tmp_path / "nothing")
    assert done.returncode == 1 and "DATA_DIR_NOT_FOUND" in done.stderr
    lock = DirectoryLock(data)
    try:
        done = verify(data)
        assert done.returncode == 1 and "DATA_DIR_IN_USE" in done.stderr
    finally:
        lock.release()
