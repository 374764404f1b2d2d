"""Runs the steps of every engine, one after the other, and collects what they found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.index_bench.engine import EngineSpec
from evaluation.index_bench.jobs import Job, Measured, Role, SweepPoint
from evaluation.index_bench.processes import StepFailed, run_job
from evaluation.index_bench.registry import is_installed, version_of
from evaluation.index_bench.results import Result
from evaluation.index_bench.table import Table
from evaluation.index_bench.truth import exact_truth
from patchsearch.errors import InvalidArgument

RECALL_TARGET = 0.99
STEPS_PER_ENGINE = 4
_ROUNDS = 5
_LOAD_S = 3.0


@dataclass(frozen=True, slots=True)
class Skipped:
    """An engine without a result, and why."""

    profile: str
    reason: str
    is_peer: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Which engines to measure, at which k. `seconds` bounds how long a measurement is repeated;
    `cores` 0: all that this process may use."""

    profiles: Sequence[EngineSpec]
    peers: Sequence[EngineSpec]
    k: int
    seconds: float = 20.0
    cores: int = 0


def run_bench(
    table: Table,
    plan: Plan,
    work: Path,
    on_step: Callable[[str], None],
    on_done: Callable[[Result | Skipped], None],
) -> None:
    """Measures each engine of `plan` on `table`, building below `work`, which it leaves empty
    again but for the table and what it is asked; calls `on_step` before each step.

    `on_done` is given what became of each engine, in order: one that cannot run is skipped. Raises
    InvalidArgument K_OUT_OF_RANGE.
    """
    rows = len(table.mapped())
    if not 1 <= plan.k <= rows:
        raise InvalidArgument("K_OUT_OF_RANGE", f"k is {plan.k}; the table has {rows} vectors")
    on_step("exact answers")
    queries, least = work / "queries.npy", work / "least.npy"
    np.save(queries, table.queries)
    np.save(least, exact_truth(table.mapped(), table.queries, plan.k).least)
    base = Job(
        role="build",
        engine="",
        is_profile=True,
        vectors=str(table.vectors.resolve()),
        directory="",
        queries=str(queries.resolve()),
        least=str(least.resolve()),
        classes=str(table.classes or ""),
        k=plan.k,
        effort=None,
        target=RECALL_TARGET,
        threads=plan.cores or len(os.sched_getaffinity(0)),
        rounds=_ROUNDS,
        budget_s=plan.seconds,
    )
    for spec in (*plan.profiles, *plan.peers):
        on_done(_measure_engine(base, spec, table, spec in plan.peers, work, on_step))


def _measure_engine(
    base: Job,
    spec: EngineSpec,
    table: Table,
    is_peer: bool,
    work: Path,
    on_step: Callable[[str], None],
) -> Result | Skipped:
    if not is_installed(spec):
        reason = f"{spec.needs} is not installed: pip install 'patchsearch[bench]'"
        return Skipped(spec.name, reason, is_peer)
    directory = work / spec.name
    directory.mkdir()
    base = replace(
        base, engine=spec.name, is_profile=not is_peer, directory=str(directory.resolve())
    )

    def step(role: Role, effort: float | None = None) -> Job:
        on_step(f"{spec.name}: {role}")
        threads = 1 if role in ("sweep", "measure") else base.threads
        budget_s = min(_LOAD_S, base.budget_s) if role == "load" else base.budget_s
        return replace(base, role=role, effort=effort, threads=threads, budget_s=budget_s)

    try:
        times = run_job(step("build"))
        sweep = [SweepPoint(**point) for point in run_job(step("sweep"))]
        effort = None if spec.fixed else smallest_effort(sweep, base.target)
        measured = Measured(**run_job(step("measure", effort)))
        qps = run_job(step("load", effort))["qps"]
        disk = _disk_bytes(directory)
    except StepFailed as error:
        return Skipped(spec.name, str(error), is_peer)
    finally:
        shutil.rmtree(directory)
    rows, dim = table.mapped().shape
    return Result(
        profile=spec.name,
        library=version_of(spec),
        is_peer=is_peer,
        vectors=rows,
        dim=dim,
        queries=len(table.queries),
        k=base.k,
        train_s=times["train_s"],
        build_s=times["build_s"],
        disk=disk,
        measured=measured,
        qps=qps,
        clients=base.threads,
        effort_name=spec.effort_name,
        effort=effort,
        recall_target=None if spec.fixed else base.target,
        options=spec.options,
        sweep=sweep,
        table=table.name,
    )


def smallest_effort(sweep: Sequence[SweepPoint], target: float) -> float:
    """The smallest effort that reaches `target`; without one, the one with the best recall."""
    reached = [point for point in sweep if point.recall >= target]
    if reached:
        return min(reached, key=lambda point: point.effort).effort
    return max(sweep, key=lambda point: point.recall).effort


def _disk_bytes(directory: Path) -> int:
    """What the files below take on the disk, holes left out."""
    # st_blocks counts units of 512 bytes, whatever the file system's blocks are (stat(2)).
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
