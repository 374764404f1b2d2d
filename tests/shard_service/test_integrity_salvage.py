"""Salvage: what is whole is kept, what is not is named, and what was deleted stays deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

from patchsearch.errors import DataLoss
from shard_service.integrity.lmdb_pages import read_snapshot, read_structure
from shard_service.integrity.salvage import SalvageReport, salvage
from shard_service.integrity.store_check import quick_check
from shard_service.store.images import DeleteImage
from shard_service.store.meta import read_identity
from shard_service.store.patch_store import PatchStore
from tests.shard_service.damaged_stores import (
    IDENTITY,
    PAGE,
    Items,
    make_store,
    put_operation,
    read_items,
)
from tests.shard_service.test_migration import write_old_store


@pytest.fixture
def store(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "lmdb"
    make_store(path, rng)
    return path


def overwrite(environment: Path, at: int, data: bytes) -> None:
    with (environment / "data.mdb").open("r+b") as file:
        file.seek(at)
        file.write(data)


def leaf_page(environment: Path, database: str, number: int = 0) -> int:
    """The page of an item of a database, counted from its first."""
    structure = read_structure(environment)
    return int(structure.snapshots[0].items[database].key_at[number]) // PAGE


def salvaged(store: Path) -> tuple[SalvageReport, Items]:
    fresh = store.parent / "fresh"
    report = salvage(store, fresh)
    structure, faults = quick_check(fresh)
    assert structure.intact and not faults
    return report, read_items(fresh)


def test_a_whole_store_is_salvaged_whole(store: Path) -> None:
    before = read_items(store)
    report, after = salvaged(store)
    assert {name: after[name] for name in ("images", "patches", "filters")} == {
        name: before[name] for name in ("images", "patches", "filters")
    }
    assert after["meta"] == before["meta"]
    assert (report.lost_ids, report.unknown_records, report.damages) == ((), 0, ())
    assert report.images + report.tombstones == len(before["images"])
    assert report.patches == len(before["patches"])
    assert SalvageReport.from_json(report.to_json()) == report


def test_images_of_a_lost_page_of_patches_are_named_and_left_out(store: Path) -> None:
    before = read_items(store)
    items = read_structure(store).snapshots[0].items["patches"]
    page = leaf_page(store, "patches", 100)
    lost = {
        before["patches"][key][-4 - length : -4]
        for key, length in (
            (key, int.from_bytes(before["patches"][key][:2], "little"))
            for key, at in zip(sorted(before["patches"]), items.key_at.tolist(), strict=True)
            if at // PAGE == page
        )
    }
    overwrite(store, page * PAGE, bytes(PAGE))
    report, after = salvaged(store)
    assert lost and set(report.lost_ids) == lost
    assert after["images"].keys() == before["images"].keys() - lost
    # Who writes them again has everything again.
    opened = PatchStore(store.parent / "fresh", 1 << 24)
    opened.commit(
        [put_operation(np.random.default_rng(0), one.decode(), 99, 2) for one in sorted(lost)]
    )
    assert all(opened.read_images(sorted(lost), with_patches=True))
    opened.close()


def test_a_lost_branch_page_costs_nothing(store: Path) -> None:
    before = read_items(store)
    walk = read_structure(store).snapshots[0].walk
    file, used = walk.file, np.flatnonzero(walk.used)
    branches = used[file.numbers(used * PAGE + 10, 2) == 1]
    assert len(branches) >= 2
    for page in branches.tolist():
        overwrite(store, page * PAGE, b"\xaa" * PAGE)
    report, after = salvaged(store)
    assert report.lost_ids == () and report.unknown_records == 0
    assert after["images"] == before["images"] and after["patches"] == before["patches"]


def test_what_was_replaced_or_deleted_does_not_come_back(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "lmdb"
    make_store(path, rng, commits=0)
    store = PatchStore(path, 1 << 24)
    names = [f"i{number:02d}" for number in range(60)]
    store.commit([put_operation(rng, name, 1, 4) for name in names])
    store.commit([DeleteImage(name.encode(), 2) for name in names[::2]])
    store.commit([put_operation(rng, name, 3, 0) for name in names[1::2]])
    store.close()
    before = read_items(path)
    assert not before["patches"]
    # The pages of the first commit lie about whole, in the free list; the tree no longer helps.
    root = leaf_page(path, "images")
    overwrite(path, root * PAGE, b"\xaa" * PAGE)
    report, after = salvaged(path)
    assert not after["patches"]
    assert all(before["images"][key] == record for key, record in after["images"].items())
    assert report.unknown_records + len(after["images"]) == 60


def test_a_damaged_meta_page_costs_nothing(store: Path) -> None:
    before = read_items(store)
    for page in (0, 1):
        damaged = store.parent / f"damaged{page}"
        shutil.copytree(store, damaged)
        overwrite(damaged, page * PAGE, bytes(PAGE))
        fresh = store.parent / f"fresh{page}"
        report = salvage(damaged, fresh)
        assert report.lost_ids == ()
        assert read_items(fresh)["images"] == before["images"]
    # Even without both, and without the count of commits beside them.
    overwrite(store, 0, bytes(2 * PAGE))
    (store / "commits").unlink()
    _, after = salvaged(store)
    assert after["images"] == before["images"] and after["patches"] == before["patches"]


def lose_last_commit(environment: Path, *, data: bool) -> None:
    """Zeroes the roots of the last commit, so that only the tree of the one before is left; with
    `data` everything else that it wrote, too."""
    newest = read_structure(environment).snapshots[0]
    assert newest.walk.file is not None
    before = read_snapshot(newest.walk.file, read_structure(environment).snapshots[1].meta)
    pages = {newest.meta.main.root, newest.meta.free.root}
    if data:
        needed = np.zeros(newest.walk.limit, np.bool_)
        needed[: before.walk.limit] = before.walk.used[: newest.walk.limit]
        pages |= set(np.flatnonzero(newest.walk.used & ~needed).tolist())
    for page in sorted(pages):
        overwrite(environment, int(page) * PAGE, bytes(PAGE))


def filled_in_two_commits(path: Path, rng: np.random.Generator) -> Items:
    """Sixty images, and a last commit that replaces, deletes and adds some."""
    make_store(path, rng, commits=0)
    store = PatchStore(path, 1 << 24)
    store.commit([put_operation(rng, f"i{number:02d}", 1, 4) for number in range(60)])
    store.commit(
        [
            *(DeleteImage(b"i%02d" % number, 2) for number in range(0, 10)),
            *(put_operation(rng, f"i{number:02d}", 3, 5) for number in range(10, 20)),
            *(put_operation(rng, f"new{number}", 4, 5) for number in range(5)),
        ]
    )
    store.close()
    return read_items(path)


@pytest.mark.parametrize("data", [False, True])
def test_the_tree_of_an_earlier_commit_brings_nothing_back(
    tmp_path: Path, rng: np.random.Generator, data: bool
) -> None:
    path = tmp_path / "lmdb"
    before = filled_in_two_commits(path, rng)
    lose_last_commit(path, data=data)
    report, after = salvaged(path)
    # The deletions are there, and what was written is as it was last, or reported.
    assert after["images"].items() <= before["images"].items()
    assert after["patches"].items() <= before["patches"].items()
    lost = before["images"].keys() - after["images"].keys()
    assert set(report.lost_ids) == lost and report.unknown_records == 0
    assert bool(lost) == data
    assert after["meta"][b"next_sequence"] == before["meta"][b"next_sequence"]
    if data:
        written = {b"i%02d" % number for number in range(10, 20)} | {b"new%d" % n for n in range(5)}
        assert lost == written
    assert any("commits are missing" in damage for damage in report.damages)


@pytest.mark.parametrize("notes", ["torn", "gone", "too many"])
def test_an_earlier_commit_is_not_served_where_nobody_knows_what_changed(
    tmp_path: Path, rng: np.random.Generator, notes: str
) -> None:
    path = tmp_path / "lmdb"
    filled_in_two_commits(path, rng)
    if notes == "torn":
        ring = (path / "changes").read_bytes()
        at = ring.index(b"new3")
        (path / "changes").write_bytes(ring[:at] + b"n?" + ring[at + 2 :])
    elif notes == "gone":
        (path / "changes").unlink()
    else:
        store = PatchStore(path, 1 << 24)
        store.commit([DeleteImage(b"%04d" % at + b"x" * 490, 5) for at in range(800)])
        store.close()
    lose_last_commit(path, data=True)
    with pytest.raises(DataLoss, match="cannot be told") as caught:
        salvage(path, tmp_path / "fresh")
    assert caught.value.reason == "STORE_CORRUPT" and not (tmp_path / "fresh").exists()


def test_damage_of_what_is_not_needed_needs_no_notes(tmp_path: Path) -> None:
    path = tmp_path / "lmdb"
    before = filled_in_two_commits(path, np.random.default_rng(1))
    for name in ("commits", "changes"):
        (path / name).unlink()
    overwrite(path, leaf_page(path, "images") * PAGE, bytes(PAGE))
    report, after = salvaged(path)
    assert after["images"].items() < before["images"].items() and report.lost_ids


def test_a_value_of_the_partition_that_changed_is_outvoted(store: Path) -> None:
    before = read_items(store)
    meta = read_structure(store).snapshots[0].items["meta"]
    data = (store / "data.mdb").read_bytes()
    place = {
        data[key : key + size]: value
        for key, size, value in zip(
            meta.key_at.tolist(), meta.key_sizes.tolist(), meta.value_at.tolist(), strict=True
        )
    }
    overwrite(store, place[b"fingerprint"], b"e")
    structure, faults = quick_check(store)
    assert structure.intact and faults == ["the values fail their checksum"]
    _, after = salvaged(store)
    assert after == before
    env = lmdb.open(str(store.parent / "fresh"), readonly=True, lock=False, max_dbs=4)
    with env.begin(db=env.open_db(b"meta", create=False)) as txn:
        assert read_identity(txn) == IDENTITY
    env.close()


def test_a_store_of_the_first_format_is_salvaged_in_this_one(tmp_path: Path) -> None:
    path = tmp_path / "lmdb"
    write_old_store(path)
    env = lmdb.open(str(path), readonly=True, lock=False, max_dbs=4)
    with env.begin(db=env.open_db(b"images", create=False)) as txn, txn.cursor() as cursor:
        old = [key for key, _ in cursor]
    env.close()
    report, after = salvaged(path)
    assert after["filters"] and len(after["images"]) > 200
    assert len(after["images"]) + len(report.lost_ids) == len(old)
    opened = PatchStore(tmp_path / "fresh", 1 << 24)
    assert len(opened.live_images(lambda damage: pytest.fail(str(damage)))) == report.images
    opened.close()


def test_nothing_is_made_of_nothing(store: Path, rng: np.random.Generator) -> None:
    size = (store / "data.mdb").stat().st_size
    (store / "data.mdb").write_bytes(rng.bytes(size))
    with pytest.raises(DataLoss) as caught:
        salvage(store, store.parent / "fresh")
    assert caught.value.reason == "STORE_CORRUPT"
    assert not (store.parent / "fresh").exists()


def test_a_later_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lmdb"
    write_old_store(path, version=9)
    with pytest.raises(DataLoss, match="format 9"):
        salvage(path, tmp_path / "fresh")
