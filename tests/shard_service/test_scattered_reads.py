"""Rows read from a file in one call: equal to the file, whatever of it is in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shard_service.index.half_rows import StoredHalfRows, map_half_rows, write_half_rows
from shard_service.index.scattered_reads import LARGEST, read_pieces

ROWS, DIM = 6000, 256
HALVES = np.random.default_rng(5).standard_normal((ROWS, DIM)).astype(np.float16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_half_rows(tmp_path / "rows", DIM, ROWS, iter([HALVES]))
    return tmp_path / "rows"


@pytest.fixture
def file(path: Path) -> Iterator[int]:
    """The open file, where the kernel reads pieces of it."""
    number = os.open(path, os.O_RDONLY)
    if not read_pieces(number, np.zeros(1, np.int64), np.empty((1, 8), np.uint8)):
        os.close(number)
        pytest.skip("kernel or file system do no reads in pieces")
    yield number
    os.close(number)


def mapped_rows(path: Path) -> StoredHalfRows:
    rows = map_half_rows(path)
    assert isinstance(rows, StoredHalfRows)
    return rows


def resident(path: Path) -> int:
    """Bytes of the mapping of `path` that count as this process's memory."""
    found, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            found = line.endswith(str(path))
        elif found and words[0] == "Rss:":
            total += int(words[1]) * 1024
    return total


def forget(file: int) -> None:
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def test_pieces_come_in_the_order_asked_for(file: int, path: Path) -> None:
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(1)
    for count in (1, 2, 100, LARGEST):
        offsets = rng.integers(0, len(whole) - 700, count)
        pieces = np.empty((count, 700), np.uint8)
        assert read_pieces(file, offsets, pieces)
        np.testing.assert_array_equal(pieces, whole[offsets[:, None] + np.arange(700)])


def test_what_is_not_in_memory_is_read_from_the_disk(file: int, path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = map_half_rows(path)
    for _ in range(5):
        forget(file)
        # Some pages are there again, so that a row is in memory, on the disk, or half in each.
        os.pread(file, 40_000, 4096 * int(rng.integers(0, 500)))
        chosen = rng.integers(0, ROWS, 300)
        np.testing.assert_array_equal(rows.vectors(chosen), HALVES[chosen])


def test_single_rows_map_no_pages(file: int, path: Path) -> None:
    rows = map_half_rows(path)
    before = resident(path)
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows.vectors(rng.integers(0, ROWS, 100))
    assert resident(path) - before < 100_000
    # More than that at once is a scan, which maps what it reads.
    np.testing.assert_array_equal(rows.vectors(np.arange(ROWS)), HALVES)
    assert resident(path) - before >= ROWS * DIM


def test_no_rows_are_no_read(path: Path) -> None:
    assert mapped_rows(path).vectors(np.empty(0, np.int64)).shape == (0, DIM)


def test_a_file_that_lost_its_end_is_an_error_and_no_signal(file: int, path: Path) -> None:
    rows = map_half_rows(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(OSError, match="ends before"):
        rows.vectors(np.array([5, ROWS - 1]))
    np.testing.assert_array_equal(rows.vectors(np.arange(9)), HALVES[:9])


def test_where_the_kernel_refuses_rows_are_read_through_the_mapping(tmp_path: Path) -> None:
    closed = os.open(tmp_path, os.O_RDONLY)
    os.close(closed)
    assert not read_pieces(closed, np.zeros(2, np.int64), np.empty((2, 8), np.uint8))
    memory = Path("/dev/shm")
    if not memory.is_dir():
        pytest.skip("no file system in memory")
    # A file system in memory has no such reads on most kernels: answers are the same either way.
    path = memory / f"patchsearch-rows-{os.getpid()}"
    try:
        write_half_rows(path, DIM, ROWS, iter([HALVES]))
        rows = map_half_rows(path)
        for chosen in (np.array([3, 1]), np.arange(200)):
            np.testing.assert_array_equal(rows.vectors(chosen), HALVES[chosen])
    finally:
        path.unlink()


def test_threads_read_beside_each_other_and_leave_nothing_behind(file: int, path: Path) -> None:
    in_use = Path("/proc/sys/fs/aio-nr")
    before = int(in_use.read_text())
    rows = map_half_rows(path)
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            chosen: NDArray[np.int64] = rng.integers(0, ROWS, 64)
            if not np.array_equal(rows.vectors(chosen), HALVES[chosen]):
                wrong.append(seed)

    for _ in range(3):
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    # Contexts of threads that ended were given back; other processes may have taken some.
    assert int(in_use.read_text()) - before < 3 * 8 * LARGEST
