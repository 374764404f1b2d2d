"""`python -m evaluation.index_bench.child JOB RESULT`: one step in a process of its own.

Memory is only comparable between processes that did nothing else, and threads must be limited
before a library starts them: each step starts afresh.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import Engine, EngineSpec
from evaluation.index_bench.jobs import Job, Measured, SweepPoint, read_job, write_json
from evaluation.index_bench.memory import process_memory
from evaluation.index_bench.precision import load_classes, precision_at
from evaluation.index_bench.registry import PEERS, profile_spec
from evaluation.index_bench.truth import Truth

_PAST_TARGET = 2
_WARM_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Throughput:
    """Queries a second, all clients together."""

    qps: float


def main(arguments: list[str]) -> None:
    """Does the job in the file `arguments[0]` and writes its result to `arguments[1]`."""
    job = read_job(Path(arguments[0]))
    spec = _spec(job)
    engine = spec.load()
    if job.role == "build":
        times = engine.build(Path(job.vectors), Path(job.directory), job.threads)
        write_json(Path(arguments[1]), times)
        return
    queries: NDArray[np.float32] = np.load(job.queries, allow_pickle=False)
    if job.role == "sweep":
        write_json(Path(arguments[1]), _sweep(job, spec, engine, queries))
    elif job.role == "load":
        write_json(Path(arguments[1]), _load(job, engine, queries))
    else:
        write_json(Path(arguments[1]), _measure(job, spec, engine, queries))


def _spec(job: Job) -> EngineSpec:
    if job.is_profile:
        return profile_spec(job.engine)
    return next(peer for peer in PEERS if peer.name == job.engine)


def _measure(job: Job, spec: EngineSpec, engine: Engine, queries: NDArray[np.float32]) -> Measured:
    taken = np.zeros(job.rounds * len(queries))
    # Room for the answers is taken before the memory is: -1 where there are fewer than k.
    answers = np.full((len(queries), job.k), -1)
    directory = Path(job.directory)
    before = process_memory(directory, spec.vector_files)
    begin = time.perf_counter()
    engine.open(directory, job.threads)
    opened = time.perf_counter()
    _warm(job, engine, queries)
    cpu, started, done = time.process_time(), time.perf_counter(), 0
    for _ in range(job.rounds):
        for number, query in enumerate(queries):
            tick = time.perf_counter_ns()
            found = engine.search(query, job.k, job.effort)
            taken[done] = time.perf_counter_ns() - tick
            answers[number, : len(found)] = found
            done += 1
        if time.perf_counter() - started > job.budget_s:
            break
    cpu = time.process_time() - cpu
    memory = process_memory(directory, spec.vector_files).since(before)
    # From here on nothing is counted: what is below reads the vectors and asks for more rows.
    milliseconds = taken[:done] / 1e6
    recall = _recall(job, [row[row >= 0] for row in answers], queries)
    recall_raw = recall
    if spec.efforts:
        raw = [engine.search(query, job.k, job.effort, rescored=False) for query in queries]
        recall_raw = _recall(job, raw, queries)
    return Measured(
        open_s=opened - begin,
        resident=memory.resident,
        anonymous=memory.anonymous,
        mapped_index=memory.mapped_index,
        mapped_vectors=memory.mapped_vectors,
        mean_ms=float(milliseconds.mean()),
        p50_ms=float(np.quantile(milliseconds, 0.5)),
        p99_ms=float(np.quantile(milliseconds, 0.99)),
        cpu_ms=cpu * 1000 / done,
        recall=recall,
        recall_raw=recall_raw,
        precision=_precision(job, engine),
    )


def _sweep(
    job: Job, spec: EngineSpec, engine: Engine, queries: NDArray[np.float32]
) -> list[SweepPoint]:
    """Efforts upwards until two have reached the target, or all of them."""
    engine.open(Path(job.directory), job.threads)
    points: list[SweepPoint] = []
    for effort in spec.efforts:
        _warm(replace(job, effort=effort), engine, queries)
        taken, answers = np.empty(len(queries)), []
        for number, query in enumerate(queries):
            tick = time.perf_counter_ns()
            answers.append(engine.search(query, job.k, effort))
            taken[number] = (time.perf_counter_ns() - tick) / 1e6
        recall = _recall(job, answers, queries)
        p50_ms = float(np.quantile(taken, 0.5))
        points.append(SweepPoint(effort, recall, float(taken.mean()), p50_ms))
        if not spec.fixed and sum(point.recall >= job.target for point in points) == _PAST_TARGET:
            break
    return points


def _load(job: Job, engine: Engine, queries: NDArray[np.float32]) -> Throughput:
    """All clients search for `budget_s`, each from another query on."""
    engine.open(Path(job.directory), job.threads)
    _warm(job, engine, queries)
    done = [0] * job.threads
    ready = threading.Barrier(job.threads + 1)
    stop = threading.Event()

    def client(number: int) -> None:
        at = number * len(queries) // job.threads
        ready.wait()
        while not stop.is_set():
            engine.search(queries[at % len(queries)], job.k, job.effort)
            at += 1
            done[number] += 1

    clients = [threading.Thread(target=client, args=(n,)) for n in range(job.threads)]
    for thread in clients:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    stop.wait(job.budget_s)
    stop.set()
    for thread in clients:
        thread.join()
    return Throughput(sum(done) / (time.perf_counter() - begin))


def _warm(job: Job, engine: Engine, queries: NDArray[np.float32]) -> None:
    """Searches once for each query, or for a share of the budget where that takes long."""
    begin = time.perf_counter()
    for query in queries:
        engine.search(query, job.k, job.effort)
        if time.perf_counter() - begin > job.budget_s * _WARM_SHARE:
            return


def _recall(job: Job, answers: Sequence[NDArray[np.int64]], queries: NDArray[np.float32]) -> float:
    vectors = np.load(job.vectors, mmap_mode="r", allow_pickle=False)
    truth = Truth(job.k, np.load(job.least, allow_pickle=False))
    return truth.recall(answers, queries, vectors)


def _precision(job: Job, engine: Engine) -> float | None:
    if not job.classes:
        return None
    return precision_at(
        job.k,
        load_classes(Path(job.classes)),
        lambda query, count: engine.search(query, count, job.effort),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
