"""Float16 rows in a file and in memory: what NumPy computes from them, FAISS finds in them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from shard_service.index.half_rows import (
    GrowingHalfRows,
    HalfRows,
    map_half_rows,
    write_half_rows,
)
from tests.shard_service.material import units

COUNTS = [1, 2, 7, 8, 9, 255, 1000]


def halves(rng: np.random.Generator, count: int, dim: int) -> NDArray[np.float16]:
    return units(rng, count, dim).astype(np.float16)


def written(path: Path, rows: NDArray[np.float16], block: int = 100) -> HalfRows:
    def blocks() -> Iterator[NDArray[np.float16]]:
        for start in range(0, len(rows), block):
            yield rows[start : start + block]

    write_half_rows(path, rows.shape[1], len(rows), blocks())
    return map_half_rows(path)


def products(query: NDArray[np.float32], rows: NDArray[np.float16]) -> NDArray[np.float64]:
    return rows.astype(np.float64) @ query.astype(np.float64)


def best_are_right(
    found: tuple[NDArray[np.int64], NDArray[np.float32]],
    exact: NDArray[np.float64],
    allowed: NDArray[np.int64],
    count: int,
) -> None:
    rows, scores = found
    assert len(rows) == len(set(rows.tolist())) == min(count, len(allowed))
    assert np.isin(rows, allowed).all()
    np.testing.assert_allclose(scores, exact[rows], atol=1e-4)
    assert (np.diff(scores) <= 0).all()
    left = np.setdiff1d(allowed, rows)
    # What was left out scores no more than the last one, but for rounding.
    assert not len(left) or exact[left].max() <= exact[rows].min() + 1e-4


@pytest.mark.parametrize("dim", [64, 512])
@pytest.mark.parametrize("count", COUNTS)
def test_a_file_gives_back_what_was_written(
    tmp_path: Path, rng: np.random.Generator, count: int, dim: int
) -> None:
    rows = halves(rng, count, dim)
    mapped = written(tmp_path / "rows", rows)
    np.testing.assert_array_equal(mapped.block(0, count), rows)
    some = rng.integers(0, count, 20)
    np.testing.assert_array_equal(mapped.vectors(some), rows[some])
    assert mapped.block(0, count).flags.writeable and mapped.index.ntotal == count
    query = units(rng, 1, dim)[0]
    exact = products(query, rows)
    for wanted in (1, 5, 2000):
        found = mapped.best(query, min(wanted, count), None)
        best_are_right(found, exact, np.arange(count), wanted)


@pytest.mark.parametrize("count", COUNTS)
def test_a_selector_limits_what_is_found(
    tmp_path: Path, rng: np.random.Generator, count: int
) -> None:
    rows = halves(rng, count, 64)
    mapped = written(tmp_path / "rows", rows)
    query = units(rng, 1)[0]
    exact = products(query, rows)
    for share in (0.0, 0.1, 0.5, 1.0):
        mask = rng.random(count) < share
        bits = np.packbits(mask, bitorder="little")
        found = mapped.best(query, min(16, count), faiss.IDSelectorBitmap(bits))
        best_are_right(found, exact, np.flatnonzero(mask), 16)
    found = mapped.best(query, count, faiss.IDSelectorRange(count // 3, count // 2))
    best_are_right(found, exact, np.arange(count // 3, count // 2), count)


def test_no_rows_at_all_can_be_written_and_mapped(tmp_path: Path) -> None:
    mapped = written(tmp_path / "rows", np.empty((0, 64), np.float16))
    assert mapped.index.ntotal == 0 and mapped.block(0, 0).shape == (0, 64)


def test_extreme_halves_survive(tmp_path: Path) -> None:
    """Subnormal numbers, signed zeros and the largest one: bit for bit."""
    rows = np.array([[6e-8, -6e-8, 0.0, -0.0, 65504, -65504, 1, -1] * 8] * 3, np.float16)
    mapped = written(tmp_path / "rows", rows)
    assert mapped.vectors(np.arange(3)).tobytes() == rows.tobytes()
    query = np.full(64, 2**-14, np.float32)
    scores = np.sort(mapped.best(query, 3, None)[1])
    np.testing.assert_allclose(scores, np.sort(products(query, rows)), atol=1e-4)


@pytest.mark.parametrize("kept", [0, 3, 20, -1])
def test_what_is_no_such_file_is_refused(
    tmp_path: Path, rng: np.random.Generator, kept: int
) -> None:
    path = tmp_path / "rows"
    written(path, halves(rng, 50, 64))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(OSError, match="rows"):
        map_half_rows(path)


def test_rows_are_seen_once_they_are_filled_in(rng: np.random.Generator) -> None:
    growing = GrowingHalfRows(64, 100)
    rows = halves(rng, 100, 64)
    query = units(rng, 1)[0]
    exact = products(query, rows)
    assert len(growing.best(query, 5, None)[0]) == 0
    start = 0
    for end in (1, 9, 10, 64, 100):
        growing.fill(start, rows[start:end])
        best_are_right(growing.best(query, end, None), exact[:end], np.arange(end), end)
        np.testing.assert_array_equal(growing.vectors(np.arange(end)), rows[:end])
        start = end


def test_full_precision_rows_are_rounded_as_numpy_rounds(rng: np.random.Generator) -> None:
    growing = GrowingHalfRows(64, 8)
    rows = units(rng, 8)
    growing.fill(0, rows)
    np.testing.assert_array_equal(growing.block(0, 8), rows.astype(np.float16))


def test_searches_beside_a_filling_thread_see_whole_rows(rng: np.random.Generator) -> None:
    count = 4000
    rows = halves(rng, count, 64)
    growing = GrowingHalfRows(64, count)
    query = units(rng, 1)[0]
    exact = products(query, rows)
    filled = [0]

    def fill() -> None:
        for start in range(0, count, 16):
            growing.fill(start, rows[start : start + 16])
            filled[0] = min(start + 16, count)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        while True:
            before = filled[0]
            if before:
                # As a view does that holds no more rows than were there when it was taken.
                found = growing.best(query, 10, faiss.IDSelectorRange(0, before))
                best_are_right(found, exact, np.arange(before), 10)
            if before == count:
                break
    finally:
        thread.join()
