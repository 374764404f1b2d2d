"""Snapshots: taken while writes and builds go on, written anywhere, restored as they were."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from patchsearch.errors import (
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from shard_service.integrity.store_check import quick_check
from shard_service.integrity.verification import verify_partition
from shard_service.options import PartitionOptions
from shard_service.search.query import PartitionQuery
from shard_service.shard import Shard
from shard_service.snapshots.restoring import restore_snapshot
from shard_service.snapshots.staging import Staging
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import (
    FINGERPRINT,
    photo,
    row_of_boxes,
    units,
)
from tests.shard_service.oracle import Oracle
from tests.shard_service.snapshot_material import (
    TABLES,
    agrees,
    files_below,
    files_up_to,
    fill,
    hidden_below,
    mixed,
    restored,
)


def test_a_restored_partition_answers_as_the_original(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    partition = opened()
    oracle = mixed(partition, rng)
    before = partition.describe()
    report = partition.snapshot(str(tmp_path / "new" / "folder" / "p0"))
    taken = tmp_path / "new" / "folder" / "p0"
    assert (report.images, report.patches) == (before.images, before.patches)
    assert report.files == len(files_below(taken))
    assert report.bytes == sum(
        (taken / name).stat().st_size for name in files_below(taken) if name != "snapshot.json"
    )
    told: list[tuple[int, int]] = []
    copy = restored(
        taken, tmp_path / "data", progress=lambda done, total: told.append((done, total))
    )
    try:
        assert copy.describe() == before
        agrees(copy, oracle, rng)
        # The same files, so nothing was built again.
        for folder in TABLES:
            assert files_below(tmp_path / "data/partitions/p0" / folder) == files_below(
                opened.directory / folder
            )
        fill(copy, oracle, rng, "d", images=5)
        assert copy.put([photo("none", [], units(rng, 0), version=5)], FINGERPRINT) == [False]
        agrees(copy, oracle, rng)
    finally:
        copy.close()
    assert told[0] == (0, report.bytes) and told[-1] == (report.bytes, report.bytes)
    assert told == sorted(told)
    assert hidden_below(tmp_path) == []
    assert verify_partition(tmp_path / "data/partitions/p0").intact


def test_what_never_changes_is_linked_and_the_store_is_not(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    partition = opened()
    mixed(partition, rng)
    partition.snapshot(str(tmp_path / "copy"))
    linked = [name for folder in TABLES for name in files_below(opened.directory / folder)]
    assert linked
    for folder in TABLES:
        for name in files_below(opened.directory / folder):
            original, copy = opened.directory / folder / name, tmp_path / "copy" / folder / name
            assert os.path.samefile(original, copy) and copy.stat().st_nlink == 2
    assert (tmp_path / "copy/lmdb/data.mdb").stat().st_nlink == 1


def test_a_snapshot_on_another_file_system_is_a_copy(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    partition = opened()
    oracle = mixed(partition, rng)
    target = elsewhere / f"patchsearch-test-{os.getpid()}"
    try:
        partition.snapshot(str(target / "p0"))
        assert hidden_below(target) == []
        index = next((target / "p0").glob("segments/*/index.faiss"))
        assert index.stat().st_nlink == 1
        copy = restored(target / "p0", tmp_path / "data")
        agrees(copy, oracle, rng)
        copy.close()
    finally:
        shutil.rmtree(target, ignore_errors=True)


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_snapshot_goes_to_a_url_and_comes_back(
    opened: Opened, rng: np.random.Generator, tmp_path: Path, scheme: str
) -> None:
    url = f"memory://snap-{os.getpid()}/p0" if scheme == "memory" else f"file://{tmp_path}/snap/p0"
    partition = opened()
    oracle = mixed(partition, rng)
    try:
        report = partition.snapshot(url)
        with pytest.raises(FailedPrecondition, match="DESTINATION_EXISTS"):
            partition.snapshot(url)
        filesystem, path = fsspec.core.url_to_fs(url)
        assert len(filesystem.find(path)) == report.files
        copy = restored(url, tmp_path / "data", fingerprint=FINGERPRINT)
        agrees(copy, oracle, rng)
        copy.close()
    finally:
        filesystem, path = fsspec.core.url_to_fs(url)
        filesystem.rm(path, recursive=True)
    assert hidden_below(tmp_path) == []


def test_a_snapshot_holds_all_that_was_acknowledged_before_it(
    opened: Opened, workers: Workers, rng: np.random.Generator, tmp_path: Path
) -> None:
    """While images are put, replaced and deleted, segments are sealed, merged and compacted."""
    partition = opened(seal_patches=400, idle_s=0.01)
    acknowledged: dict[str, int] = {}
    started: dict[str, int] = {}
    done = threading.Event()

    def write() -> None:
        order = np.random.default_rng(7)
        version = 1
        while not done.is_set():
            version += 1
            ids = [f"i{n}" for n in order.choice(300, 8, replace=False)]
            started.update(dict.fromkeys(ids, version))
            writes = [
                photo(name, row_of_boxes(6), vectors_of(name, version), version=version)
                for name in ids
            ]
            partition.put(writes, FINGERPRINT)
            acknowledged.update(dict.fromkeys(ids, version))

    workers.start(write)
    taken: list[tuple[Path, dict[str, int], dict[str, int], int]] = []
    try:
        while partition.describe().sealed_segments < 1:
            done.wait(0.01)
        for number in range(6):
            if number == 3:
                workers.start(lambda: [partition.compact() for _ in range(4)])
            before = dict(acknowledged)
            report = partition.snapshot(str(tmp_path / f"s{number}"))
            after = dict(started)
            taken.append((tmp_path / f"s{number}", before, after, report.patches))
            done.wait(0.1)
    finally:
        done.set()
    workers.join()
    for path, before, after, patches in taken:
        structure, faults = quick_check(path / "lmdb")
        assert structure.intact and not faults
        copy = restored(path, path.with_suffix(".data"))
        assert copy.describe().patches == patches
        stored = {
            one.image.image_id.decode(): one.image.version for one in copy.list_images("", "", 1000)
        }
        assert patches == 6 * len(stored)
        for image_id, version in before.items():
            assert version <= stored[image_id] <= after[image_id]
        for image_id, version in list(stored.items())[:40]:
            vector = vectors_of(image_id, version)[2]
            hit = copy.search(PartitionQuery(vector, 1), FINGERPRINT).hits[0]
            assert (hit.image.image_id.decode(), hit.image.version) == (image_id, version)
            assert hit.box == (200, 0, 100, 100)
        copy.close()
        assert verify_partition(path.with_suffix(".data") / "partitions/p0").intact


def vectors_of(image_id: str, version: int) -> np.ndarray[Any, Any]:
    return units(np.random.default_rng([version, *image_id.encode()]), 6)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads the maps of the process")
def test_the_map_need_not_grow_during_a_copy(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    """It cannot, and what waits for it would keep searches waiting."""
    partition = opened()
    oracle = Oracle()
    fill(partition, oracle, rng, "a", images=100)
    partition.snapshot(str(tmp_path / "copy"))
    store = opened.directory / "lmdb/data.mdb"
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    (place,) = {line[0] for line in maps if line[-1] == str(store)}
    start, end = (int(part, 16) for part in place.split("-"))
    assert end - start > store.stat().st_size + (4 << 30)
    # Only addresses: no disk, and no memory before it is used.
    assert store.stat().st_size < 4 << 20
    fill(partition, oracle, rng, "b", images=100)
    agrees(partition, oracle, rng)


def test_where_something_is_nothing_is_written(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    partition = opened()
    fill(partition, Oracle(), rng, "a", images=3)
    for name in ("folder", "file"):
        there = tmp_path / name
        there.mkdir() if name == "folder" else there.write_text("mine")
        with pytest.raises(FailedPrecondition, match=f"{there}.*DESTINATION_EXISTS"):
            partition.snapshot(str(there))
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder").iterdir())
    with pytest.raises(Unavailable, match="DESTINATION_FAILED"):
        partition.snapshot(str(tmp_path / "file" / "below" / "p0"))
    with pytest.raises(InvalidArgument, match="DESTINATION_INVALID"):
        partition.snapshot("nothing-known://x/p0")
    assert hidden_below(tmp_path) == []
    assert partition.describe().activity == ""


def test_without_room_nothing_is_left_and_the_next_one_succeeds(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    partition = opened()
    oracle = mixed(partition, rng)
    for destination in (str(tmp_path / "copy"), f"memory://full-{os.getpid()}/p0"):
        with files_up_to(32 << 10), pytest.raises(ResourceExhausted, match="DISK_FULL"):
            partition.snapshot(destination)
    assert hidden_below(tmp_path) == [] and not (tmp_path / "copy").exists()
    agrees(partition, oracle, rng)
    partition.snapshot(str(tmp_path / "copy"))
    with files_up_to(32 << 10), pytest.raises(ResourceExhausted, match="DISK_FULL"):
        restore_snapshot(str(tmp_path / "copy"), tmp_path / "data")
    assert os.listdir(tmp_path / "data/partitions") == []
    copy = restored(tmp_path / "copy", tmp_path / "data")
    agrees(copy, oracle, rng)
    copy.close()


def test_two_snapshots_to_one_place_give_one(
    opened: Opened, workers: Workers, rng: np.random.Generator, tmp_path: Path
) -> None:
    partition = opened()
    oracle = mixed(partition, rng)
    outcomes: list[str] = []

    def take() -> None:
        try:
            partition.snapshot(str(tmp_path / "copy"))
            outcomes.append("taken")
        except FailedPrecondition as error:
            outcomes.append(error.reason)

    for _ in range(3):
        workers.start(take)
    workers.join()
    assert sorted(outcomes) == ["DESTINATION_EXISTS", "DESTINATION_EXISTS", "taken"]
    copy = restored(tmp_path / "copy", tmp_path / "data")
    agrees(copy, oracle, rng)
    copy.close()


def test_what_a_killed_snapshot_left_is_removed_and_no_other(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    fill(opened(), Oracle(), rng, "a", images=3)
    opened.close()
    target = tmp_path / "backups"
    leftovers = [opened.directory / ".snapshot-0", target / ".snapshot-0"]
    for leftover in leftovers:
        (leftover / "lmdb").mkdir(parents=True)
        (leftover / "lmdb" / "data.mdb").write_bytes(b"half")
    partition = opened()
    assert not leftovers[0].exists() and leftovers[1].exists()
    with Staging(target) as running:
        partition.snapshot(str(target / "p0"))
        assert not leftovers[1].exists() and running.path.exists()
    assert os.listdir(target) == ["p0"]


def test_a_shard_removes_leftovers_from_its_own_snapshots(tmp_path: Path) -> None:
    for folder in ("snapshots", "snapshots/monday"):
        (tmp_path / folder / ".snapshot-0").mkdir(parents=True)
    (tmp_path / "snapshots/monday/p0").mkdir()
    shard = Shard(tmp_path, PartitionOptions(map_bytes=1 << 20))
    shard.open()
    shard.close()
    assert hidden_below(tmp_path) == []
    assert (tmp_path / "snapshots/monday/p0").is_dir()
