"""The notes beside a store: what the last commits changed, for as long as there is room."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from shard_service.integrity.change_log import (
    CHANGES,
    RING_BYTES,
    Change,
    ChangeLog,
    read_log,
)
from shard_service.integrity.commit_witness import CommitWitness, witnessed_commits
from shard_service.store.images import DeleteImage
from shard_service.store.meta import create_environment
from shard_service.store.patch_store import PatchStore
from tests.shard_service.damaged_stores import IDENTITY, put_operation


def change(number: int, size: int = 12) -> Change:
    return Change(b"%d/" % number + b"x" * size, 100 + number, number % 3 == 0)


def test_what_is_noted_is_read(tmp_path: Path) -> None:
    assert read_log(tmp_path).commits == {}
    log = ChangeLog(tmp_path)
    log.append(1, 11, 21, [change(1), change(3)])
    log.append(2, 12, 22, [])
    log.close()
    found = read_log(tmp_path).commits
    assert list(found) == [1, 2]
    assert found[1].changes == (change(1), change(3)) and found[2].changes == ()
    assert (found[2].transaction, found[2].next_sequence) == (12, 22)
    assert (tmp_path / CHANGES).stat().st_size == RING_BYTES


def test_the_file_keeps_its_size_and_the_last_commits(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    commits = 0
    for _ in range(12):
        log = ChangeLog(tmp_path)
        for _ in range(int(rng.integers(1, 60))):
            commits += 1
            size = int(rng.choice([5, 60, 400]))
            count = int(rng.integers(0, 120))
            log.append(commits, commits, commits, [change(at, size) for at in range(count)])
        log.close()
        assert (tmp_path / CHANGES).stat().st_size == RING_BYTES
        found = read_log(tmp_path).commits
        # All of the latest, without a gap: a few hundred KiB of them.
        assert set(found) >= set(range(max(1, commits - 8), commits + 1))
        assert all(entry.changes is not None for entry in found.values())


def test_more_changes_than_fit_are_told_as_such(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    log.append(1, 1, 1, [change(at, 500) for at in range(1100)])
    log.append(2, 2, 2, [change(at, 500) for at in range(400)])
    log.close()
    found = read_log(tmp_path).commits
    assert found[1].changes is None and len(found[2].changes or ()) == 400


def test_a_commit_that_is_tried_again_counts_once(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    for commits in (1, 2, 3, 3, 2):
        log.append(commits, 7, 7, [change(commits)])
    log.append(3, 8, 8, [change(30)])
    log.close()
    found = read_log(tmp_path).commits
    assert sorted(found) == [1, 2, 3] and found[3].changes == (change(30),)


def test_torn_and_strange_bytes_are_left_out(tmp_path: Path, rng: np.random.Generator) -> None:
    log = ChangeLog(tmp_path)
    for commits in range(1, 40):
        log.append(commits, commits, commits, [change(at) for at in range(20)])
    log.close()
    whole = (tmp_path / CHANGES).read_bytes()
    assert len(read_log(tmp_path).commits) == 39
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, 25_000, 4).tolist():
            data[at] ^= int(rng.integers(1, 256))
        (tmp_path / CHANGES).write_bytes(data[: int(rng.integers(0, len(data)))])
        for commits, entry in read_log(tmp_path).commits.items():
            assert entry.changes == tuple(change(at) for at in range(20))
            assert entry.commits == commits
        # Whoever writes on does so.
        again = ChangeLog(tmp_path)
        again.append(40, 40, 40, [change(1)])
        again.close()
        assert read_log(tmp_path).commits[40].changes == (change(1),)
    (tmp_path / CHANGES).write_bytes(rng.bytes(RING_BYTES))
    assert read_log(tmp_path).commits == {}


def test_a_directory_that_takes_no_files_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / CHANGES).mkdir()
    (tmp_path / "commits").mkdir()
    witness = CommitWitness(tmp_path)
    witness.announce(1, 1, 1, [change(1)])
    witness.note(1)
    witness.close()
    assert witnessed_commits(tmp_path) == 0 and read_log(tmp_path).commits == {}


@pytest.mark.parametrize("durable", [False, True])
def test_a_store_notes_what_it_commits(
    tmp_path: Path, rng: np.random.Generator, durable: bool
) -> None:
    path = tmp_path / "lmdb"
    create_environment(path, IDENTITY, 1 << 22)
    for number in range(1, 4):
        store = PatchStore(path, 1 << 22, durable=durable)
        assert witnessed_commits(path) == store.commits == 2 * (number - 1)
        store.commit([put_operation(rng, f"i{number}", number, 2), DeleteImage(b"gone", number)])
        # Nothing changes, so nothing is committed.
        store.commit([DeleteImage(b"gone", number)])
        store.commit([DeleteImage(b"i1", 100 + number)])
        assert witnessed_commits(path) == store.commits == 2 * number
        store.close()
        entry = read_log(path).commits[2 * number - 1]
        assert entry.changes == (
            Change(b"i%d" % number, number, False),
            Change(b"gone", number, True),
        )
        assert entry.next_sequence == 2 * number


def test_notes_take_no_room_of_their_own_later(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    blocks = os.stat(tmp_path / CHANGES).st_blocks
    for commits in range(1, 3000):
        log.append(commits, commits, commits, [change(at) for at in range(10)])
    log.close()
    assert os.stat(tmp_path / CHANGES).st_blocks <= blocks + 16
