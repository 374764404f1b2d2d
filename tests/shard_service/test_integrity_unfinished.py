"""A commit that a kill cut off: once a start has shown that it is not there, no damage brings it
back, and until then it may be there whole."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from shard_service.integrity.change_log import Change, ChangeLog, read_log
from shard_service.integrity.lmdb_pages import read_structure
from shard_service.integrity.prepared_store import prepare_store
from shard_service.store.images import DeleteImage, Operation
from shard_service.store.patch_store import PatchStore
from tests.chaos.partition.store_states import spoil_older_meta_page
from tests.shard_service.damaged_stores import PAGE, make_store, put_operation, read_items
from tests.shard_service.unfinished_lives import Lives

_MAP = 1 << 24
NAMES = [f"i{number:02d}" for number in range(40)]


@pytest.fixture
def partition(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Forty images at version 1 and the deletion of one more, in a closed store."""
    environment = tmp_path / "p0" / "lmdb"
    make_store(environment, rng, commits=0)
    commit(environment, [put_operation(rng, name, 1, 4) for name in NAMES])
    commit(environment, [DeleteImage(b"gone", 1)])
    return tmp_path / "p0"


def commit(environment: Path, operations: Sequence[Operation]) -> None:
    store = PatchStore(environment, _MAP)
    store.commit(operations)
    store.close()


def cut_off(environment: Path, operations: Sequence[Operation]) -> None:
    """What a kill leaves between the pages of a commit and the meta page that makes it one."""
    notes = environment.parent / "notes-before"
    shutil.copytree(environment, notes)
    before = (environment / "data.mdb").read_bytes()[: 2 * PAGE]
    commit(environment, operations)
    with (environment / "data.mdb").open("r+b") as file:
        file.write(before)
    # What it announced stays; that it was done was never noted.
    shutil.copyfile(notes / "commits", environment / "commits")
    shutil.rmtree(notes)


def writes_of(rng: np.random.Generator, version: int) -> list[Operation]:
    return [
        *(put_operation(rng, name, version, 5) for name in NAMES[:6]),
        put_operation(rng, f"new-{version}", version, 3),
        DeleteImage(NAMES[7].encode(), version),
    ]


def show(environment: Path) -> None:
    """Opens the store and closes it again: whoever asked meanwhile has seen what is there."""
    PatchStore(environment, _MAP).close()


def spoil_newer_meta_page(environment: Path) -> None:
    data = bytearray((environment / "data.mdb").read_bytes())
    transactions = [int.from_bytes(data[at + 144 : at + 152], "little") for at in (0, PAGE)]
    at = PAGE * transactions.index(max(transactions)) + 16
    data[at : at + PAGE - 16] = bytes(PAGE - 16)
    (environment / "data.mdb").write_bytes(data)


def test_what_a_start_did_not_show_is_not_brought_back(
    partition: Path, rng: np.random.Generator
) -> None:
    environment = partition / "lmdb"
    cut_off(environment, writes_of(rng, 2))
    show(environment)
    before = read_items(environment)
    spoil_older_meta_page(environment)
    condition = prepare_store(partition)
    assert condition.faults and condition.report is not None
    after = read_items(environment)
    assert after["images"] == before["images"] and after["patches"] == before["patches"]
    assert condition.report.lost_ids == ()


def test_before_any_start_it_is_there_whole_or_not_at_all(
    partition: Path, rng: np.random.Generator
) -> None:
    environment = partition / "lmdb"
    before = read_items(environment)
    cut_off(environment, writes_of(rng, 2))
    spoil_older_meta_page(environment)
    prepare_store(partition)
    after = read_items(environment)
    changed = {key for key, value in after["images"].items() if before["images"].get(key) != value}
    assert len(changed) in (0, 8) and prepare_store(partition).faults == ()


def test_nor_by_pages_that_no_tree_leads_to(partition: Path, rng: np.random.Generator) -> None:
    """A page of images and a meta page are damaged: records are looked for on all pages in use."""
    environment = partition / "lmdb"
    # Enough for pages behind those that are in use.
    many = [put_operation(rng, name, 2, 30) for name in NAMES]
    cut_off(environment, many)
    show(environment)
    before = read_items(environment)
    spoil_older_meta_page(environment)
    snapshot = read_structure(environment).snapshots[0]
    assert snapshot.walk.file.pages > snapshot.meta.last_page + 1
    page = int(snapshot.items["images"].key_at[0]) // PAGE
    with (environment / "data.mdb").open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))
    condition = prepare_store(partition)
    after = read_items(environment)
    assert condition.report is not None
    assert after["images"].items() <= before["images"].items()
    assert after["patches"].items() <= before["patches"].items()
    lost = before["images"].keys() - after["images"].keys()
    assert lost and len(lost - set(condition.report.lost_ids)) <= condition.report.unknown_records


def test_a_commit_that_nobody_noted_is_kept_though_its_meta_page_is_damaged(
    partition: Path, rng: np.random.Generator
) -> None:
    """A power loss takes the notes since the last start; the commit was durable."""
    environment = partition / "lmdb"
    show(environment)
    notes = {name: (environment / name).read_bytes() for name in ("commits", "changes")}
    store = PatchStore(environment, _MAP)
    # The notes of its opening are synced.
    notes["changes"] = (environment / "changes").read_bytes()
    store.commit(writes_of(rng, 2))
    store.close()
    for name, content in notes.items():
        (environment / name).write_bytes(content)
    before = read_items(environment)
    spoil_newer_meta_page(environment)
    condition = prepare_store(partition)
    assert condition.report is not None and condition.report.lost_ids == ()
    after = read_items(environment)
    assert after["images"] == before["images"] and after["patches"] == before["patches"]


@pytest.mark.parametrize("noted", [True, False])
def test_of_two_that_could_be_the_last_commit_it_is_the_one_that_was_made(
    partition: Path, rng: np.random.Generator, noted: bool
) -> None:
    environment = partition / "lmdb"
    cut_off(environment, writes_of(rng, 2))
    store = PatchStore(environment, _MAP)
    notes = (environment / "changes").read_bytes()
    # Smaller than the one that was cut off, so that it leaves some of that one's pages alone.
    store.commit([DeleteImage(NAMES[9].encode(), 3)])
    store.close()
    if not noted:
        (environment / "changes").write_bytes(notes)
    before = read_items(environment)
    spoil_newer_meta_page(environment)
    prepare_store(partition)
    after = read_items(environment)
    assert after["images"] == before["images"] and after["patches"] == before["patches"]


def test_without_the_notes_what_a_start_did_not_show_is_left_out(
    partition: Path, rng: np.random.Generator
) -> None:
    """The count of commits is gone and a meta page is damaged: the openings tell what is true."""
    environment = partition / "lmdb"
    cut_off(environment, writes_of(rng, 2))
    show(environment)
    before = read_items(environment)
    (environment / "commits").unlink()
    spoil_older_meta_page(environment)
    condition = prepare_store(partition)
    assert condition.report is not None and condition.report.lost_ids == ()
    after = read_items(environment)
    assert after["images"] == before["images"] and after["patches"] == before["patches"]


def test_openings_are_told_for_as_long_as_the_ring_goes_round(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    log.begin(5, 77, durable=True)
    for commits in range(6, 9):
        log.append(commits, 1, 1, [])
    log.begin(7, 78, durable=True)
    found = read_log(tmp_path)
    assert (sorted(found.commits), found.opening, found.found, found.last) == ([6, 7], 78, 7, 7)
    assert found.allows(7, 77) and not found.allows(8, 77) and found.allows(8, 78)
    assert not found.allows(7, 78) and found.allows(5, 1)
    for commits in range(8, 2000):
        log.append(commits, 1, 1, [Change(b"x" * 400, 1, False)])
    log.close()
    found = read_log(tmp_path)
    assert (found.opening, found.found, found.last) == (78, -1, 1999)
    assert not found.allows(1999, 77) and not found.allows(2000, 77) and found.allows(2000, 78)


def test_a_directory_without_notes_allows_everything(tmp_path: Path) -> None:
    found = read_log(tmp_path)
    assert (found.commits, found.opening, found.found, found.last) == ({}, 0, -1, -1)
    assert found.allows(0, 0) and found.allows(9, 5)


@pytest.mark.parametrize("seed", range(6))
def test_every_start_shows_what_the_lives_before_allow(tmp_path: Path, seed: int) -> None:
    lives = Lives(tmp_path / "p0", seed)
    for _ in range(12):
        lives.live()
