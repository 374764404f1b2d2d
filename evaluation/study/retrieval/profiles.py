"""Table 4.4: index profiles on the study's own vectors, built and searched by the real engine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import Engine
from evaluation.index_bench.jobs import Job, Measured
from evaluation.index_bench.processes import StepFailed, run_job
from evaluation.index_bench.registry import profile_spec
from evaluation.index_bench.truth import exact_truth
from evaluation.study.retrieval.collection import Collection
from evaluation.study.retrieval.figures import precision_figures
from evaluation.study.retrieval.judging import Judged
from evaluation.study.retrieval.options import HITS
from evaluation.study.retrieval.product_codes import NAME, product_codes
from evaluation.study.retrieval.queries import Query
from evaluation.study.retrieval.ranking import without_overlaps
from evaluation.study.retrieval.searching import Level, Queries
from patchsearch.errors import PatchsearchError
from shard_service.index.profiles import PROFILES
from shard_service.segments.sealed import INDEX_FILE, VECTORS_FILE

Search = Callable[[NDArray[np.float32], int], NDArray[np.int64]]
"""(query, count) -> at most `count` rows, best first."""

_ROUNDS = 5
_FIRST_DEPTH = 2


@dataclass(frozen=True, eq=False)
class _Workplace:
    """Where the engines are built, and what their processes are told."""

    folder: Path
    job: Job


def profile_rows(
    level: Level,
    kinds: Mapping[str, Queries],
    names: Sequence[str],
    seconds: float,
    on_profile: Callable[[str, float], None],
) -> list[dict[str, Any]]:
    """A row for each profile and for the thesis's codes.

    {profile, precision_at_16, queries: {kind: precision figures}, bytes_per_vector, ...}: precision
    by the protocol, patches of the queries' own photos and overlapping ones left out of what the
    engine gives; the mean of the kinds. `bytes_per_vector`: the index, or the vectors themselves
    where a profile has none. `ram_bytes_per_vector` and times come from a process that does nothing
    else, one query at a time on one thread; fixed costs are divided by the number of vectors, so
    they show in small tables. Codes alone, not rescored, have a row of their own. A profile that
    cannot be measured has `skipped` instead, with why.
    """
    collection = level.collection
    out: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="patchsearch-study-") as name:
        place = _prepared(Path(name), collection, kinds, seconds)
        for done, profile in enumerate(names):
            on_profile(profile, done / (len(names) + 1))
            try:
                out += _profile(place, level, kinds, profile)
            except (StepFailed, PatchsearchError) as error:
                out.append({"profile": profile, "skipped": str(error)})
        on_profile(NAME, len(names) / (len(names) + 1))
        try:
            out.append(_codes(level, kinds))
        except PatchsearchError as error:
            out.append({"profile": NAME, "skipped": str(error)})
    on_profile("profiles", 1.0)
    return out


def _prepared(
    folder: Path, collection: Collection, kinds: Mapping[str, Queries], seconds: float
) -> _Workplace:
    vectors, queries, least = (folder / f"{name}.npy" for name in ("vectors", "queries", "least"))
    asked = np.stack([query.vector for _, query in _flat(kinds)])
    rows = collection.table.vectors
    np.save(vectors, rows)
    np.save(queries, asked)
    k = min(HITS, len(rows))
    np.save(least, exact_truth(rows, asked, k).least)
    job = Job(
        role="build",
        engine="",
        is_profile=True,
        vectors=str(vectors),
        directory="",
        queries=str(queries),
        least=str(least),
        classes="",
        k=k,
        effort=None,
        target=1.0,
        threads=1,
        rounds=_ROUNDS,
        budget_s=seconds,
    )
    return _Workplace(folder, job)


def _profile(
    place: _Workplace, level: Level, kinds: Mapping[str, Queries], name: str
) -> list[dict[str, Any]]:
    spec = profile_spec(name)
    directory = place.folder / name
    directory.mkdir()
    job = replace(place.job, engine=name, directory=str(directory))
    times = run_job(job)
    measured = Measured(**run_job(replace(job, role="measure", threads=1)))
    rows = len(level.collection)
    engine = spec.load()
    engine.open(directory, 1)
    row: dict[str, Any] = {
        "profile": name,
        **_precisions(level, kinds, _search(engine)),
        "recall_at_16": round(measured.recall, 4),
        "bytes_per_vector": round(_read_by_searches(directory) / rows, 1),
        "ram_bytes_per_vector": round((measured.anonymous + measured.mapped_index) / rows, 1),
        "ms_per_query": round(measured.mean_ms, 4),
        "p99_ms": round(measured.p99_ms, 4),
        "train_s": round(times["train_s"], 3),
        "build_s": round(times["build_s"], 3),
        "rescored": True,
    }
    out = [row]
    if PROFILES[name].needs_training:
        codes = {
            "profile": f"{name}, not rescored",
            **_precisions(level, kinds, _search(engine, rescored=False)),
            "recall_at_16": round(measured.recall_raw, 4),
            "bytes_per_vector": row["bytes_per_vector"],
            "rescored": False,
        }
        out.append(codes)
    return out


def _read_by_searches(directory: Path) -> int:
    """Bytes of the index; of the vectors where there is none and every one of them is read."""
    for name in (INDEX_FILE, VECTORS_FILE):
        found = list(directory.rglob(name))
        if found:
            return sum(path.stat().st_size for path in found)
    return 0


def _search(engine: Engine, *, rescored: bool = True) -> Search:
    return lambda query, count: engine.search(query, count, None, rescored=rescored)


def _codes(level: Level, kinds: Mapping[str, Queries]) -> dict[str, Any]:
    codes = product_codes(level.collection.table.vectors)
    asked = [query.vector for _, query in _flat(kinds)]
    for vector in asked:
        codes.search(vector, HITS)
    begin = time.perf_counter()
    for vector in asked:
        codes.search(vector, HITS)
    took = (time.perf_counter() - begin) / len(asked)
    return {
        "profile": NAME,
        **_precisions(level, kinds, codes.search),
        "bytes_per_vector": round(codes.bytes_per_vector, 1),
        "ms_per_query": round(took * 1000, 4),
        "train_s": round(codes.train_s, 3),
        "build_s": round(codes.build_s, 3),
        "rescored": False,
    }


def _precisions(level: Level, kinds: Mapping[str, Queries], search: Search) -> dict[str, Any]:
    """`precision_at_16` {mean, std}: the mean over the kinds; and `queries`: each kind's."""
    by_kind = {}
    for kind, queries in kinds.items():
        found = {
            name: [_judged(level, name, query, search) for query in some]
            for name, some in queries.items()
            if some
        }
        if found:
            figures = precision_figures(found)
            by_kind[kind] = {key: figures[key] for key in ("precision_at_16", "classes")}
    both = [one["precision_at_16"] for one in by_kind.values()]
    mean = {
        key: round(sum(one[key] for one in both) / max(len(both), 1), 4) for key in ("mean", "std")
    }
    return {"precision_at_16": mean, "queries": by_kind}


def _judged(level: Level, name: str, query: Query, search: Search) -> Judged:
    """Asks for more and more rows until 16 of them are left by the protocol, or all were given."""
    collection, judge = level.collection, level.judges[name]
    depth = min(_FIRST_DEPTH * HITS, len(collection))
    while True:
        rows = search(query.vector, depth)
        left = rows[~np.isin(collection.table.photo[rows], query.left_out)]
        hits = without_overlaps(left, collection, HITS)
        if len(hits) == HITS or depth == len(collection):
            precision = float(judge.relevant[hits].sum()) / HITS
            return Judged(precision, 0.0, 0.0, 0.0, hits)
        depth = min(2 * depth, len(collection))


def _flat(kinds: Mapping[str, Queries]) -> list[tuple[str, Query]]:
    return [
        (kind, query)
        for kind, queries in kinds.items()
        for some in queries.values()
        for query in some
    ]
