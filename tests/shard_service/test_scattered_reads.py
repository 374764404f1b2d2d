"""Rows read from a file, many at once: equal to the file, whatever of it is in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shard_service.index.half_rows import StoredHalfRows, map_half_rows, write_half_rows
from shard_service.index.scattered_reads import AVAILABLE, read_cached_rows, read_rows

ROWS, DIM = 6000, 256
HALVES = np.random.default_rng(5).standard_normal((ROWS, DIM)).astype(np.float16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_half_rows(tmp_path / "rows", DIM, ROWS, iter([HALVES]))
    return tmp_path / "rows"


@pytest.fixture
def file(path: Path) -> Iterator[int]:
    """The open file, where the system reads rows of it."""
    if not AVAILABLE:
        pytest.skip("the system has no preadv2")
    number = os.open(path, os.O_RDONLY)
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


def test_rows_come_in_the_order_asked_for(file: int, path: Path) -> None:
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(1)
    for count, begin, width in ((0, 0, 8), (1, 3, 700), (2, 0, 1), (100, 41, 700), (600, 7, 33)):
        stored = whole[begin : begin + (len(whole) - begin) // width * width].reshape(-1, width)
        rows = rng.integers(0, len(stored), count)
        found = np.empty((count, width), np.uint8)
        read_rows(file, begin, rows, found)
        np.testing.assert_array_equal(found, stored[rows])


def test_what_is_in_memory_is_told_from_what_is_not(file: int, path: Path) -> None:
    rows = np.arange(0, ROWS, 100)
    found = np.empty((len(rows), DIM), np.uint16)
    path.read_bytes()
    if not read_cached_rows(file, 0, rows, found).all():
        pytest.skip("the file system cannot tell what of a file is in memory")
    forget(file)
    assert not read_cached_rows(file, 0, rows, found).all()


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


def test_a_file_system_that_cannot_tell_what_is_in_memory_is_read_all_the_same() -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir():
        pytest.skip("no file system in memory")
    # One in memory cannot on most kernels.
    path = memory / f"patchsearch-rows-{os.getpid()}"
    try:
        write_half_rows(path, DIM, ROWS, iter([HALVES]))
        rows = map_half_rows(path)
        for chosen in (np.array([3, 1]), np.arange(200)):
            np.testing.assert_array_equal(rows.vectors(chosen), HALVES[chosen])
    finally:
        path.unlink()


def test_threads_read_beside_each_other(file: int, path: Path) -> None:
    rows = map_half_rows(path)
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            chosen: NDArray[np.int64] = rng.integers(0, ROWS, 64)
            if not np.array_equal(rows.vectors(chosen), HALVES[chosen]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
