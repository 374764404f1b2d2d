"""Before a store is opened: a damaged one gives way to what is whole of it, whenever that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import DataLoss, ResourceExhausted
from shard_service.integrity.prepared_store import last_report, prepare_store
from shard_service.store.patch_store import PatchStore
from tests.shard_service.damaged_stores import (
    EARLIER,
    PAGE,
    Items,
    make_store,
    put_operation,
    read_items,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def partition(tmp_path: Path, rng: np.random.Generator) -> Path:
    make_store(tmp_path / "p0" / "lmdb", rng)
    return tmp_path / "p0"


def damage(partition: Path) -> Items:
    """Zeroes a page of patches; what was in the store before."""
    store = partition / "lmdb"
    before = read_items(store)
    data = bytearray((store / "data.mdb").read_bytes())
    key, value = max(before["patches"].items())
    at = data.rindex(key + value) // PAGE * PAGE
    data[at : at + PAGE] = bytes(PAGE)
    (store / "data.mdb").write_bytes(data)
    return before


def names(partition: Path) -> list[str]:
    return sorted(path.name for path in partition.iterdir())


def test_a_whole_store_is_left_as_it_is(partition: Path) -> None:
    before = (partition / "lmdb" / "data.mdb").read_bytes()
    condition = prepare_store(partition)
    assert (condition.faults, condition.replaced, condition.report) == ((), None, None)
    assert (partition / "lmdb" / "data.mdb").read_bytes() == before
    assert names(partition) == ["lmdb"]


def test_a_damaged_store_is_replaced_and_kept_aside(partition: Path) -> None:
    for number in (1, 2, 3):
        before = damage(partition)
        broken = (partition / "lmdb" / "data.mdb").read_bytes()
        condition = prepare_store(partition)
        assert condition.faults and condition.report is not None and condition.report.lost_ids
        assert condition.replaced == partition / f"lmdb.failed-{number}"
        assert (condition.replaced / "data.mdb").read_bytes() == broken
        assert names(partition) == ["lmdb", f"lmdb.failed-{number}"]
        after = read_items(partition / "lmdb")
        lost = set(condition.report.lost_ids)
        assert after["images"].keys() == before["images"].keys() - lost
        # Told again until the next time, and nothing is done again.
        again = prepare_store(partition)
        assert (again.faults, again.report) == ((), condition.report)
        store = PatchStore(partition / "lmdb", 1 << 24)
        rng = np.random.default_rng(number)
        store.commit([put_operation(rng, one.decode(), 100 + number, 3) for one in sorted(lost)])
        store.close()
        assert prepare_store(partition).faults == ()


KILLED = """
import os, signal, sys
from pathlib import Path
from shard_service.integrity.prepared_store import prepare_store

left = int(sys.argv[2])
def watch(event, arguments):
    global left
    if event in ("os.rename", "os.mkdir", "os.remove", "shutil.rmtree", "patchsearch.shard"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
prepare_store(Path(sys.argv[1]))
"""


def test_a_replacement_that_is_killed_is_finished_by_the_next(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    kills = 0
    for moment in range(1, 100):
        partition = tmp_path / f"p{moment}"
        make_store(partition / "lmdb", np.random.default_rng(moment), commits=4)
        (partition / "lmdb.failed-7").mkdir()
        before = damage(partition)
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(partition), str(moment)],
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )
        prepare_store(partition)
        report = last_report(partition)
        assert report is not None and report.lost_ids
        after = read_items(partition / "lmdb")
        assert after["images"].keys() == before["images"].keys() - set(report.lost_ids)
        assert names(partition) == ["lmdb", "lmdb.failed-8"]
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 6


def test_commits_that_are_missing_are_noticed(partition: Path) -> None:
    store = partition / "lmdb"
    before = read_items(store)
    data = bytearray((store / "data.mdb").read_bytes())
    data[: 2 * PAGE] = (store / EARLIER).read_bytes()
    (store / "data.mdb").write_bytes(data)
    condition = prepare_store(partition)
    assert condition.faults and condition.report is not None
    assert condition.report.lost_ids == ()
    after = read_items(partition / "lmdb")
    assert after["images"] == before["images"] and after["patches"] == before["patches"]


def test_a_damaged_note_of_the_commits_does_no_harm(partition: Path) -> None:
    for note in (b"", b"\xff" * 12, b"\xff" * 100):
        (partition / "lmdb" / "commits").write_bytes(note)
        assert prepare_store(partition).faults == ()


def test_a_full_disk_changes_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system failed")
    try:
        partition = mount / "p0"
        make_store(partition / "lmdb", rng)
        damage(partition)
        ballast = mount / "ballast"
        free = shutil.disk_usage(mount).free
        ballast.write_bytes(bytes(free - (300 << 10)))
        with pytest.raises(ResourceExhausted) as caught:
            prepare_store(partition)
        assert caught.value.reason == "DISK_FULL" and names(partition) == ["lmdb"]
        ballast.unlink()
        assert prepare_store(partition).replaced is not None
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


@pytest.mark.parametrize("kind", ["garbage", "gone", "empty"])
def test_what_cannot_be_mended_is_left_for_people(
    partition: Path, rng: np.random.Generator, kind: str
) -> None:
    path = partition / "lmdb" / "data.mdb"
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if kind == "empty" else rng.bytes(200_000))
    with pytest.raises(DataLoss) as caught:
        prepare_store(partition)
    assert caught.value.reason == "STORE_CORRUPT" and "copy" in caught.value.message
    assert names(partition) == ["lmdb"] and path.exists() == (kind != "gone")


def test_the_check_is_quick(tmp_path: Path) -> None:
    partition = tmp_path / "p0"
    rng = np.random.default_rng(0)
    make_store(partition / "lmdb", rng, commits=0)
    store = PatchStore(partition / "lmdb", 1 << 26, durable=False)
    for batch in range(10):
        store.commit([put_operation(rng, f"i{batch}-{at}", 1, 100) for at in range(20)])
    store.close()
    started = time.perf_counter()
    assert prepare_store(partition).faults == ()
    # A fifth of 100 000 patches, for which 0.4 s are allowed; generous, for busy machines.
    assert time.perf_counter() - started < 0.4
