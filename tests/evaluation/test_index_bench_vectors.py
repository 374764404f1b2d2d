"""What is measured against what: tables, generated vectors, exact answers, memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from evaluation.index_bench.bench import smallest_effort
from evaluation.index_bench.jobs import SweepPoint
from evaluation.index_bench.memory import process_memory
from evaluation.index_bench.synthetic import synthetic_table
from evaluation.index_bench.table import load_table
from evaluation.index_bench.truth import exact_truth
from patchsearch.errors import InvalidArgument


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def test_generated_vectors_depend_on_the_seed_alone(tmp_path: Path) -> None:
    one = synthetic_table(9000, 64, 20, 5, _folder(tmp_path, "one"))
    same = synthetic_table(9000, 64, 20, 5, _folder(tmp_path, "same"))
    other = synthetic_table(9000, 64, 20, 6, _folder(tmp_path, "other"))
    assert np.array_equal(one.mapped(), same.mapped())
    assert np.array_equal(one.queries, same.queries)
    assert not np.array_equal(one.mapped(), other.mapped())


def test_generated_vectors_are_unit_rows_of_low_rank_with_near_duplicates(tmp_path: Path) -> None:
    table = synthetic_table(9000, 256, 50, 1, tmp_path)
    rows = table.mapped().astype(np.float32)
    assert rows.shape == (9000, 256)
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 2e-3
    assert np.abs(np.linalg.norm(table.queries, axis=1) - 1).max() < 1e-5
    values = np.linalg.eigvalsh(np.cov(rows.T))
    # The participation ratio of the spectrum is what an effective rank is.
    assert values.sum() ** 2 / (values**2).sum() < 64
    neighbours = (rows[1:] * rows[:-1]).sum(axis=1)
    strangers = (rows[:-500] * rows[500:]).sum(axis=1)
    assert np.median(neighbours) > 0.6
    assert np.median(strangers) < 0.3
    best = (table.queries @ rows.T).max(axis=1)
    assert 0.5 < np.median(best) < 0.95


def test_a_table_needs_unit_vectors_and_queries_of_one_width(tmp_path: Path) -> None:
    unit = np.eye(8, dtype=np.float16)
    for name, arrays, says in [
        ("no-queries", {"vectors": unit}, "lacks query_vectors"),
        ("length", {"vectors": unit * 2, "query_vectors": unit}, "length 2.000"),
        ("nan", {"vectors": unit * np.nan, "query_vectors": unit}, "length nan"),
        ("width", {"vectors": unit, "query_vectors": unit[:4, :4]}, "query_vectors 4"),
        ("flat", {"vectors": unit[0], "query_vectors": unit}, "must be rows"),
    ]:
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(InvalidArgument, match=says) as raised:
            load_table(tmp_path / f"{name}.npz", tmp_path, None)
        assert raised.value.reason == "TABLE_INVALID"
    (tmp_path / "text.npz").write_text("no table")
    with pytest.raises(InvalidArgument, match="not an"):
        load_table(tmp_path / "text.npz", tmp_path, None)


def test_recall_is_the_share_of_the_best_k_that_was_found(tmp_path: Path) -> None:
    table = synthetic_table(9000, 64, 10, 1, tmp_path)
    vectors = table.mapped()
    truth = exact_truth(vectors, table.queries, 16)
    order = np.argsort(-(table.queries @ vectors.astype(np.float32).T), axis=1)
    assert truth.recall(list(order[:, :16]), table.queries, vectors) == 1.0
    assert truth.recall(list(order[:, 4:20]), table.queries, vectors) == 0.75
    assert truth.recall(list(order[:, :8]), table.queries, vectors) == 0.5
    # One good row sixteen times is one good row.
    assert truth.recall(list(order[:, :1].repeat(16, 1)), table.queries, vectors) == 1 / 16


def test_which_of_equal_rows_is_found_makes_no_difference() -> None:
    vectors = np.repeat(np.eye(4, dtype=np.float16), 3, axis=0)
    queries = np.eye(4, dtype=np.float32)[:1]
    truth = exact_truth(vectors, queries, 2)
    for answer in ([0, 1], [1, 2], [2, 0]):
        assert truth.recall([np.array(answer)], queries, vectors) == 1.0
    assert truth.recall([np.array([0, 3])], queries, vectors) == 0.5


def test_the_smallest_effort_that_reaches_the_target_is_reported() -> None:
    sweep = [SweepPoint(8, 0.9, 1, 1), SweepPoint(16, 0.991, 2, 2), SweepPoint(32, 0.999, 3, 3)]
    assert smallest_effort(sweep, 0.99) == 16
    assert smallest_effort(sweep, 0.9999) == 32


def test_memory_is_told_apart_as_the_kernel_does(tmp_path: Path) -> None:
    size = 32 << 20
    for name in ("index.bin", "vectors.npy"):
        (tmp_path / name).write_bytes(bytes(size if name == "index.bin" else 2 * size))
    patterns = ("*vectors.npy",)
    before = process_memory(tmp_path, patterns)
    held = np.ones(size, np.uint8)
    with (tmp_path / "index.bin").open("rb") as one, (tmp_path / "vectors.npy").open("rb") as two:
        index = mmap.mmap(one.fileno(), 0, access=mmap.ACCESS_READ)
        vectors = mmap.mmap(two.fileno(), 0, access=mmap.ACCESS_READ)
    assert sum(index[::4096]) + sum(vectors[::4096]) == 0
    added = process_memory(tmp_path, patterns).since(before)
    index.close()
    vectors.close()
    assert len(held) == size
    assert added.mapped_index == size
    assert added.mapped_vectors == 2 * size
    # The rest of this process may take or give back some meanwhile.
    assert abs(added.anonymous - size) < 4 << 20
    assert abs(added.resident - 4 * size) < 8 << 20
