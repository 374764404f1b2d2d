"""`patchsearch bench index` from end to end: children, JSON, plots, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.index_bench.plots import BYTES_FILE, LATENCY_FILE
from patchsearch.cli.app import run

PROMISED = {
    "profile",
    "train_s",
    "build_s",
    "ram_bytes_per_vector",
    "disk_bytes_per_vector",
    "recall_at_16_raw",
    "recall_at_16",
    "precision_at_16",
    "p50_ms",
    "p99_ms",
    "qps",
}


def test_two_profiles_are_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    results, plots = tmp_path / "new" / "out.json", tmp_path / "plots"
    settings = "--synthetic 2000 --dim 128 --queries 30 --seconds 0.1 --peers none"
    written = ["--json", str(results), "--plots", str(plots), "--work", str(tmp_path / "work")]
    chosen = "--profile exact --profile graph"
    status = run(["bench", "index", *settings.split(), *chosen.split(), *written])
    printed = capfd.readouterr()
    assert status == 0, printed.err
    exact, graph = json.loads(results.read_text())
    assert set(exact) >= PROMISED
    assert set(graph) >= PROMISED
    assert (exact["profile"], graph["profile"]) == ("exact", "graph")
    assert exact["recall_at_16"] == exact["recall_at_16_raw"] == 1.0
    assert graph["recall_at_16_raw"] <= graph["recall_at_16"]
    assert graph["recall_at_16"] >= 0.95
    assert exact["train_s"] < graph["train_s"]
    for one in (exact, graph):
        assert one["precision_at_16"] is None
        assert one["vectors"] == 2000
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["qps"] > 0
        # A float16 row takes 256 bytes on the disk, and its pages are mapped to be read.
        assert one["disk_bytes_per_vector"] >= 256
        assert 0 < one["mapped_vectors_bytes_per_vector"] <= one["resident_bytes_per_vector"]
        assert "ram_bytes_per_vector" in one
    assert exact["mapped_vectors_bytes_per_vector"] >= 256
    assert len(graph["sweep"]) > 1
    assert "graph" in printed.out
    for name in (BYTES_FILE, LATENCY_FILE):
        with Image.open(plots / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--synthetic 2000 --profile fastest", "PROFILE_UNKNOWN"),
        ("--synthetic 2000 --peers nobody", "PEER_UNKNOWN"),
        ("--vectors nowhere.npz", "TABLE_NOT_FOUND"),
        ("--peers none", "TABLE_INVALID"),
        ("--vectors nowhere.npz --synthetic 2000", "TABLE_INVALID"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    arguments: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "index", *arguments.split()]) == 1
    assert reason in capfd.readouterr().err


def test_an_engine_that_fails_is_skipped_with_its_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = np.eye(64, dtype=np.float16)[:40]
    np.savez(tmp_path / "few.npz", vectors=rows, query_vectors=rows[:4])
    # Forty rows train no codebook.
    settings = "--profile opq64 --peers none --seconds 0.1"
    status = run(["bench", "index", "--vectors", str(tmp_path / "few.npz"), *settings.split()])
    assert status == 1
    assert "skipped opq64: build ended with 1" in capfd.readouterr().err
