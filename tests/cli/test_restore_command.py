"""`patchsearch restore`: what it prints, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shard_service.directory_lock import DirectoryLock
from shard_service.options import PartitionOptions
from shard_service.shard import Shard
from tests.cli.shard_process import IDS, served_shard
from tests.shard_service.material import FINGERPRINT


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a snapshot of each partition."""
    folder = tmp_path_factory.mktemp("snapshots")
    with served_shard(folder / "data") as served:
        served.shard.partition("p0").seal()
        for name in IDS:
            served.shard.partition(name).snapshot(str(folder / "taken" / name))
    return folder / "taken"


def restore(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "patchsearch", "restore", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_a_shard_serves_what_was_restored(snapshots: Path, tmp_path: Path) -> None:
    done = restore(*sorted(snapshots.iterdir()), "--data", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    told = {one["partition_id"]: one for one in json.loads(done.stdout)["restored"]}
    assert list(told) == list(IDS)
    assert (told["p0"]["images"], told["p0"]["patches"]) == (80, 400)
    assert told["p0"]["fingerprint"] == FINGERPRINT and told["p0"]["bytes"] > 400 * 128
    assert told["p0"]["path"] == str(tmp_path / "partitions" / "p0")
    shard = Shard(tmp_path, PartitionOptions(map_bytes=1 << 20))
    shard.open()
    states = [partition.describe() for partition in shard.partitions()]
    shard.close()
    assert [(one.images, one.sealed_segments) for one in states] == [(4, 0), (80, 1), (80, 0)]


def test_urls_and_text(snapshots: Path, tmp_path: Path) -> None:
    done = restore(f"file://{snapshots}/few", "--data", tmp_path, "--fingerprint", FINGERPRINT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("few: 4 images, 20 patches, ")
    assert done.stdout.endswith(f" from file://{snapshots}/few\n")


def test_one_that_fails_ends_it_and_those_before_stay(snapshots: Path, tmp_path: Path) -> None:
    sources = [snapshots / "few", snapshots / "none", snapshots / "p0"]
    done = restore(*sources, "--data", tmp_path, "--json")
    assert done.returncode == 1 and "SNAPSHOT_NOT_FOUND" in done.stderr
    assert [one["partition_id"] for one in json.loads(done.stdout)["restored"]] == ["few"]
    assert os.listdir(tmp_path / "partitions") == ["few"]
    done = restore(snapshots / "few", "--data", tmp_path)
    assert done.returncode == 1 and "PARTITION_EXISTS" in done.stderr


def test_refusals_are_one_line(snapshots: Path, tmp_path: Path) -> None:
    source = snapshots / "p0"
    other = restore(source, "--data", tmp_path, "--fingerprint", "0" * 32)
    lock = DirectoryLock(tmp_path)
    in_use = restore(source, "--data", tmp_path)
    lock.release()
    unknown = restore("nothing-known://x", "--data", tmp_path)
    for done, reason in (
        (other, "ENCODER_MISMATCH"),
        (in_use, "DATA_DIR_IN_USE"),
        (unknown, "SOURCE_INVALID"),
    ):
        assert done.returncode == 1 and reason in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
