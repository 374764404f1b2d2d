"""Searches of a sealed segment whose mapped vectors do not fit into memory.

    python -m benchmarks.memory_limit --synthetic 1000000 --profile graph

A child process opens the segment and searches, one query at a time on one thread, first with all
the memory there is, then in a control group that may hold what the process itself needs and a
quarter of its mapped files in the page cache. Needs root and control groups (version 1 or 2); says
so where they are missing, and measures without a limit only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from evaluation.index_bench.engines.ours import OurSegment
from evaluation.index_bench.memory import process_memory
from evaluation.index_bench.synthetic import synthetic_table
from evaluation.index_bench.table import Table, load_table
from shard_service.index.profiles import PROFILES

_SHARE = 0.25
_SLACK = 8 << 20
_GROUPS = Path("/sys/fs/cgroup")
_QUERIES = "queries.npy"
_VECTORS = "*/vectors.faiss"


def child(directory: Path, profile: str, group: Path | None, rounds: int) -> dict[str, float]:
    """Opens, limits itself to `group`, searches; what it measured."""
    queries = np.load(directory / _QUERIES, allow_pickle=False)
    engine = OurSegment(profile)
    before = process_memory(directory, (_VECTORS,)).anonymous
    if group is not None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    engine.open(directory, 1)
    for query in queries[:3]:
        engine.search(query, 16, None)
    mapped = sum(path.stat().st_size for path in _mapped_files(directory))
    limit = 0.0
    if group is not None:
        # What was there before belongs to the group that the process came from.
        needed = process_memory(directory, (_VECTORS,)).anonymous - before
        limit = needed + _SHARE * mapped + _SLACK
        _limit_file(group).write_text(str(int(limit)))
    times = []
    for _ in range(rounds):
        for query in queries:
            began = time.perf_counter()
            engine.search(query, 16, None)
            times.append(1000 * (time.perf_counter() - began))
    first, rest = times[: len(queries)], times[len(queries) :] or times
    return {
        "mapped_mib": mapped / 2**20,
        "limit_mib": limit / 2**20,
        "first_round_p50_ms": float(np.median(first)),
        "p50_ms": float(np.median(rest)),
        "p99_ms": float(np.percentile(rest, 99)),
    }


def _mapped_files(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.rglob("*.faiss")) if path.name != "index.faiss"] + [
        path for path in sorted(directory.rglob("*.npy")) if path.name != _QUERIES
    ]


def _forget_pages(directory: Path) -> None:
    """Lets the page cache go, whose pages belong to the group that read them first."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _limit_file(group: Path) -> Path:
    second = group / "memory.max"
    return second if second.exists() else group / "memory.limit_in_bytes"


@contextmanager
def _control_group() -> Iterator[Path | None]:
    parent = _GROUPS / "memory" if (_GROUPS / "memory").is_dir() else _GROUPS
    group = parent / f"patchsearch-benchmark-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        print(f"no control group, so no limit: {error}", file=sys.stderr)
        yield None
        return
    try:
        yield group if _limit_file(group).exists() else None
    finally:
        group.rmdir()


def _run(directory: Path, profile: str, group: Path | None, rounds: int) -> dict[str, float]:
    _forget_pages(directory)
    arguments = [sys.executable, "-m", "benchmarks.memory_limit", "--child", str(directory)]
    arguments += ["--profile", profile, "--rounds", str(rounds)]
    arguments += ["--group", str(group)] if group is not None else []
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        arguments, env={**os.environ, **threads}, stdout=subprocess.PIPE, check=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.memory_limit", description=__doc__.split("\n")[0]
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--vectors", type=Path, help="a table of vectors (.npz)")
    source.add_argument("--synthetic", type=int, default=1_000_000, help="vectors to generate")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="graph")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="directory on the disk to measure")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--group", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child is not None:
        figures = child(arguments.child, arguments.profile, arguments.group, arguments.rounds)
        print(json.dumps(figures))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.data) as name:
        directory = Path(name)
        table = _table(arguments, directory)
        built = directory / "built"
        built.mkdir()
        np.save(built / _QUERIES, table.queries)
        OurSegment(arguments.profile).build(table.vectors, built, os.cpu_count() or 1)
        print(f"{table.name}, profile {arguments.profile}, one thread")
        print("all memory: ", _told(_run(built, arguments.profile, None, arguments.rounds)))
        with _control_group() as group:
            if group is not None:
                print(
                    "a quarter:  ", _told(_run(built, arguments.profile, group, arguments.rounds))
                )
    return 0


def _table(arguments: argparse.Namespace, directory: Path) -> Table:
    if arguments.vectors is not None:
        return load_table(arguments.vectors, directory, arguments.queries)
    return synthetic_table(arguments.synthetic, 512, arguments.queries, 0, directory)


def _told(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


if __name__ == "__main__":
    raise SystemExit(main())
