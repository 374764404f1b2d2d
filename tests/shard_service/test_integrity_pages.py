"""The reader of LMDB files: it finds nothing wrong with what LMDB writes, and survives the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import lmdb
import numpy as np
import pytest

from shard_service.integrity.lmdb_pages import read_structure
from shard_service.integrity.store_check import quick_check
from shard_service.store.patch_store import PatchStore
from tests.shard_service.conftest import Workers
from tests.shard_service.damaged_stores import (
    CORRUPTIONS,
    IDENTITY,
    make_store,
    put_operation,
    read_items,
)

JUDGE = Path(__file__).parent / "damaged_store_judge.py"
ROOT = Path(__file__).parents[2]
CASES = 6 * len(CORRUPTIONS)
NAMES = (b"meta", b"images", b"patches", b"filters")


def agrees_with_lmdb(environment: Path, env: lmdb.Environment) -> None:
    """The trees are whole, and hold what LMDB finds in them."""
    structure = read_structure(environment)
    assert structure.damages == []
    newest, file = structure.snapshots[0], structure.file
    assert file is not None
    for name in NAMES:
        with env.begin(db=env.open_db(name, create=False)) as txn, txn.cursor() as cursor:
            assert list(newest.items[name.decode()].read(file)) == list(cursor)


def test_whatever_lmdb_writes_is_intact(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "lmdb"
    env = lmdb.open(str(path), map_size=256 << 10, max_dbs=4, sync=False)
    databases = [env.open_db(name) for name in NAMES]
    agrees_with_lmdb(path, env)
    sequence = grown = 0
    for step in range(80):
        try:
            with env.begin(write=True) as txn:
                first = sequence
                for _ in range(int(rng.integers(1, 12))):
                    key = b"k" * int(rng.choice([1, 9, 60, 500])) + b"%d" % rng.integers(0, 60)
                    size = int(rng.choice([10, 200, 2030, 2100, 9000, 30000]))
                    txn.put(key, rng.bytes(size), db=databases[1 + 2 * int(rng.integers(0, 2))])
                    txn.delete(b"k" * 9 + b"%d" % rng.integers(0, 60), db=databases[1])
                    for _ in range(int(rng.integers(0, 12))):
                        value = rng.bytes(1100)
                        txn.put(sequence.to_bytes(8, "big"), value, append=True, db=databases[2])
                        sequence += 1
                    gone = int(rng.integers(0, sequence + 1))
                    txn.delete(gone.to_bytes(8, "big"), db=databases[2])
                txn.put(b"commits", (step + 1).to_bytes(8, "little"), db=databases[0])
                if rng.random() < 0.1:
                    sequence = first
                    txn.abort()
                    continue
        except lmdb.MapFullError:
            sequence = first
            grown += 1
            env.set_mapsize(2 * env.info()["map_size"])
        if step % 10 == 0:
            env.close()
            env = lmdb.open(str(path), map_size=256 << 10, max_dbs=4, sync=False)
            databases = [env.open_db(name, create=False) for name in NAMES]
        # The count of commits goes with the transactions only where none was aborted.
        damages = [one for one in read_structure(path).damages if "commits" not in one.detail]
        assert damages == []
    assert grown > 3 and sequence > 300
    with env.begin(write=True) as txn:
        for database in databases[1:]:
            txn.drop(database, delete=False)
    agrees_with_lmdb(path, env)
    env.close()


@pytest.mark.parametrize("compact", [False, True])
def test_a_copy_made_while_writes_go_on_is_intact(
    tmp_path: Path, rng: np.random.Generator, workers: Workers, compact: bool
) -> None:
    source = tmp_path / "lmdb"
    make_store(source, rng, commits=8)
    env = lmdb.open(str(source), map_size=1 << 26, max_dbs=4, sync=False)
    images, meta = env.open_db(b"images", create=False), env.open_db(b"meta", create=False)

    def write() -> None:
        values = np.random.default_rng(1)
        for commit in range(8, 200):
            with env.begin(write=True) as txn:
                for _ in range(20):
                    txn.put(b"new/%d" % values.integers(0, 99), values.bytes(3000), db=images)
                txn.put(b"commits", commit.to_bytes(8, "little"), db=meta)

    workers.start(write)
    for number in range(6):
        copy = tmp_path / f"copy{number}"
        copy.mkdir()
        env.copy(str(copy), compact=compact)
        assert quick_check(copy)[0].damages == []
    workers.join()
    env.close()


def test_a_store_is_intact_from_its_first_commit_on(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "lmdb"
    make_store(path, rng, commits=0)
    for number in range(5):
        structure, faults = quick_check(path)
        assert (structure.damages, faults) == ([], [])
        assert structure.snapshots[0].commits == number
        store = PatchStore(path, 1 << 20)
        store.commit([put_operation(rng, f"i{number}", 1, 3)])
        store.close()
        assert store.identity == IDENTITY


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 8191, 8192, 8193, 40_000])
def test_any_bytes_are_read(tmp_path: Path, rng: np.random.Generator, size: int) -> None:
    (tmp_path / "data.mdb").write_bytes(rng.bytes(size))
    assert not read_structure(tmp_path).intact
    (tmp_path / "data.mdb").write_bytes(bytes(size))
    assert not read_structure(tmp_path).intact


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    assert not read_structure(tmp_path).intact


def test_no_damage_is_missed(tmp_path: Path) -> None:
    base = tmp_path / "base"
    make_store(base, np.random.default_rng(20141), commits=24)
    items = read_items(base)
    assert len(items["images"]) > 60 and len(items["patches"]) > 200 and items["filters"]
    command = [sys.executable, str(JUDGE), str(base), str(tmp_path / "work"), "0", str(CASES)]
    ended = subprocess.run(
        command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    # Where the process died, the last line names the case.
    assert ended.returncode == 0, ended.stderr[-2000:]
    total: Counter[str] = Counter()
    for outcomes in json.loads(ended.stdout).values():
        total.update(outcomes)
    assert total["MISSED"] == 0, ended.stdout
    # The cases that prove something: damage that shows at once, in records, and that can be mended.
    assert total["salvaged whole"] > 10 and total["salvaged in part"] > 10
    assert total["in records"] > 3 and total["harmless"] > 3
