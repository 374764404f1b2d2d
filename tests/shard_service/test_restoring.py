"""What is not as it was taken, or does not belong there, is not restored, and leaves nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patchsearch.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    ResourceExhausted,
)
from shard_service.directory_lock import DirectoryLock
from shard_service.integrity.verification import verify_partition
from shard_service.shard import Shard
from shard_service.snapshots.restoring import restore_snapshot
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, OPTIONS
from tests.shard_service.snapshot_material import files_below, mixed


@pytest.fixture
def taken(opened: Opened, rng: np.random.Generator, tmp_path: Path) -> Path:
    partition = opened()
    mixed(partition, rng)
    partition.snapshot(str(tmp_path / "taken"))
    opened.close()
    # The segments share their bytes with the partition.
    shutil.copytree(tmp_path / "taken", tmp_path / "copy")
    return tmp_path / "copy"


def refuses(taken: Path, kind: type[Exception], pattern: str, **values: Any) -> None:
    data = taken.parent / "refused"
    with pytest.raises(kind, match=pattern):
        restore_snapshot(str(taken), data, **values)
    assert list(data.glob("partitions/*")) == []


def test_a_file_that_is_missing(taken: Path) -> None:
    names = [name for name in files_below(taken) if name != "snapshot.json"]
    for name in names[:: max(1, len(names) // 6)]:
        (taken / name).rename(taken.parent / "away")
        refuses(taken, DataLoss, f"{name} is missing.*SNAPSHOT_CORRUPT")
        (taken.parent / "away").rename(taken / name)
    restore_snapshot(str(taken), taken.parent / "good")


def test_a_file_that_differs(taken: Path, rng: np.random.Generator) -> None:
    names = [name for name in files_below(taken) if name != "snapshot.json"]
    for name in [*names[::4], "lmdb/data.mdb"]:
        good = (taken / name).read_bytes()
        flipped = bytearray(good)
        flipped[int(rng.integers(len(good)))] ^= 0x10
        for bad in (bytes(flipped), good[:-1], good + b"\0", b""):
            (taken / name).write_bytes(bad)
            refuses(taken, DataLoss, r"SNAPSHOT_CORRUPT")
        (taken / name).write_bytes(good)
    restore_snapshot(str(taken), taken.parent / "good")


def test_a_summary_that_differs(taken: Path, rng: np.random.Generator) -> None:
    good = (taken / "snapshot.json").read_bytes()
    for at in rng.integers(len(good), size=40).tolist():
        flipped = bytearray(good)
        flipped[at] ^= 0x02
        (taken / "snapshot.json").write_bytes(flipped)
        if not good[at : at + 1].isspace():
            refuses(taken, PatchsearchError, "SNAPSHOT_CORRUPT|FORMAT_UNKNOWN")


def test_a_summary_that_leads_elsewhere(taken: Path) -> None:
    path = taken / "snapshot.json"
    good = json.loads(path.read_text())
    file = good["files"]["lmdb/data.mdb"]
    for change in (
        {"files": {**good["files"], "../../outside/x": file}},
        {"files": {**good["files"], "/etc/x": file}},
        {"files": {}},
        {"identity": {**good["identity"], "partition_id": "../p1"}},
        {"identity": {**good["identity"], "partition_id": 7}},
        {"identity": {**good["identity"], "partition_id": "p1"}},
        {"identity": {**good["identity"], "encoder": "another"}},
        {"identity": {}},
    ):
        path.write_text(signed({**good, **change}))
        refuses(taken, DataLoss, "SNAPSHOT_CORRUPT")
    path.write_text(signed(good))
    restore_snapshot(str(taken), taken.parent / "good")


def test_a_later_format(taken: Path) -> None:
    path = taken / "snapshot.json"
    path.write_text(signed({**json.loads(path.read_text()), "format": 2}))
    refuses(taken, FailedPrecondition, r"format 2.*FORMAT_UNKNOWN")


def test_another_encoder(taken: Path, opened: Opened, tmp_path: Path) -> None:
    other = "0" * 32
    pattern = f"{FINGERPRINT}.*{other} is the one asked for.*ENCODER_MISMATCH"
    refuses(taken, FailedPrecondition, pattern, fingerprint=other)
    shard = Shard(tmp_path / "refused2", OPTIONS)
    shard.open()
    identity = type(opened().identity)("p1", 0, 5, other, "other-encoder", 64)
    shard.create(identity)
    shard.close()
    with pytest.raises(FailedPrecondition, match=r"partition p1.*ENCODER_MISMATCH"):
        restore_snapshot(str(taken), tmp_path / "refused2")
    assert os.listdir(tmp_path / "refused2/partitions") == ["p1"]


def test_a_place_that_is_taken(taken: Path, tmp_path: Path) -> None:
    restore_snapshot(str(taken), tmp_path / "data")
    before = files_below(tmp_path / "data")
    with pytest.raises(FailedPrecondition, match="PARTITION_EXISTS"):
        restore_snapshot(str(taken), tmp_path / "data")
    assert files_below(tmp_path / "data") == before


def test_a_damaged_neighbour_is_no_reason(taken: Path, tmp_path: Path) -> None:
    store = tmp_path / "data/partitions/p1/lmdb"
    store.mkdir(parents=True)
    (store / "data.mdb").write_bytes(b"\0" * 8192)
    (tmp_path / "data/partitions/.unfinished-0").mkdir()
    restore_snapshot(str(taken), tmp_path / "data")
    assert sorted(os.listdir(tmp_path / "data/partitions")) == ["p0", "p1"]


def test_a_directory_in_use(taken: Path, tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "data")
    with pytest.raises(FailedPrecondition, match="DATA_DIR_IN_USE"):
        restore_snapshot(str(taken), tmp_path / "data")
    lock.release()
    restore_snapshot(str(taken), tmp_path / "data")


@pytest.mark.parametrize("when", ["before", "halfway", "late"])
def test_a_full_disk_leaves_nothing_half_made(taken: Path, small_disk: Path, when: str) -> None:
    data, ballast = small_disk / "data", small_disk / "ballast"
    told: list[int] = []

    def fill_disk(done: int, total: int) -> None:
        """Somebody else writes while this is restored."""
        told.append(done)
        share = {"before": 0.0, "halfway": 0.5, "late": 0.75}[when]
        if not ballast.exists() and done >= share * total:
            ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))

    if when == "before":
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - (64 << 10)))
    with pytest.raises(ResourceExhausted, match="free space and try again") as caught:
        restore_snapshot(str(taken), data, progress=fill_disk)
    assert caught.value.reason == "DISK_FULL"
    # Where there is no room from the start, nothing is copied.
    assert bool(told) == (when != "before")
    assert [path.name for path in (data / "partitions").iterdir()] == []
    free = shutil.disk_usage(small_disk).free
    ballast.unlink()
    assert shutil.disk_usage(small_disk).free > free
    summary = restore_snapshot(str(taken), data)
    assert verify_partition(data / "partitions/p0").intact
    shard = Shard(data, OPTIONS)
    shard.open()
    try:
        state = shard.partition("p0").describe()
        assert (state.images, state.patches) == (summary.images, summary.patches)
    finally:
        shard.close()


def test_not_even_room_for_a_directory(taken: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(ResourceExhausted, match="DISK_FULL"):
        restore_snapshot(str(taken), small_disk / "data")
    ballast.unlink()
    restore_snapshot(str(taken), small_disk / "data")
    assert verify_partition(small_disk / "data/partitions/p0").intact


def test_what_is_no_snapshot(taken: Path, tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "none", f"memory://none-{os.getpid()}"):
        with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND"):
            restore_snapshot(str(source), tmp_path / "data")
    with pytest.raises(InvalidArgument, match="SOURCE_INVALID"):
        restore_snapshot("nothing-known://x", tmp_path / "data")


def signed(content: dict[str, Any]) -> str:
    """The text of a `snapshot.json`, as whoever tampers with one would write it."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    plain = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return json.dumps({**rest, "sha256": hashlib.sha256(plain.encode()).hexdigest()})
