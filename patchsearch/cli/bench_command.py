"""`patchsearch bench`: measures parts of the system on this machine."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from patchsearch.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from evaluation.index_bench.results import Result

app = typer.Typer(
    name="bench", help="Measure parts of the system on this machine.", no_args_is_help=True
)
_NEEDED = ("faiss", "lmdb")
_QUERIES = 500
_FILE_COLUMNS = 180
# Reading the vectors, and the exact answers.
_FIRST_STEPS = 2


@app.callback()
def bench() -> None:
    """Measure parts of the system on this machine."""


@app.command("index")
def index(
    vectors: Annotated[
        Path | None,
        typer.Option(help="an .npz table with vectors (n, dim) and query_vectors (q, dim)"),
    ] = None,
    synthetic: Annotated[
        int | None, typer.Option(min=1000, help="generate that many vectors instead")
    ] = None,
    dim: Annotated[int, typer.Option(min=64, help="numbers of a generated vector")] = 512,
    profile: Annotated[
        list[str] | None, typer.Option(help="index profile, repeatable; default: all")
    ] = None,
    peers: Annotated[
        str, typer.Option(help="all, none, or names with commas, such as hnswlib,qdrant")
    ] = "all",
    k: Annotated[int, typer.Option(min=1, max=1000, help="rows that a query asks for")] = 16,
    queries: Annotated[
        int | None,
        typer.Option(min=1, help="queries; default: all of the table, 500 generated ones"),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="repeat a measurement for at most that long")
    ] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="of the generated vectors")] = 1,
    json_to: Annotated[
        Path | None, typer.Option("--json", help="write the results to this file")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="draw recall against bytes and latency into this folder")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="build below this folder; default: a temporary one")
    ] = None,
) -> None:
    """Measure index profiles, and other engines beside them, on one table of vectors.

    Memory is read from the process of each engine, times are of one query at a time on one thread.
    Peers are tuned to recall 0.99. The exit status is 1 when a profile could not be measured.
    """
    needed = (*_NEEDED, "matplotlib") if plots else _NEEDED
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise FailedPrecondition(
            "EXTRA_MISSING",
            f"measuring needs {', '.join(missing)}: pip install 'patchsearch[bench]'",
        )
    if (vectors is None) == (synthetic is None):
        raise InvalidArgument("TABLE_INVALID", "give either --vectors TABLE.npz or --synthetic N")
    from evaluation.index_bench.bench import STEPS_PER_ENGINE, Plan, Skipped, run_bench
    from evaluation.index_bench.registry import chosen_peers, profile_names, profile_spec
    from evaluation.index_bench.report import results_table
    from evaluation.index_bench.results import Result
    from evaluation.index_bench.synthetic import synthetic_table
    from evaluation.index_bench.table import load_table

    plan = Plan(
        [profile_spec(name) for name in profile or profile_names()], chosen_peers(peers), k, seconds
    )
    errors = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps ·"),
        TimeElapsedColumn(),
        console=errors,
    )
    engines = len(plan.profiles) + len(plan.peers)
    for folder in (work, plots, json_to.parent if json_to else None):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    finished = failed = 0
    with tempfile.TemporaryDirectory(prefix="patchsearch-bench-", dir=work) as name, bar:
        task = bar.add_task("vectors", total=_FIRST_STEPS + STEPS_PER_ENGINE * engines)
        if vectors is not None:
            table = load_table(vectors, Path(name), queries)
        else:
            table = synthetic_table(synthetic or 0, dim, queries or _QUERIES, seed, Path(name))

        def begin(step: str) -> None:
            bar.update(task, description=step, advance=1)

        def done(result: Result | Skipped) -> None:
            nonlocal finished, failed
            finished += 1
            bar.update(task, completed=_FIRST_STEPS + STEPS_PER_ENGINE * finished - 1)
            if isinstance(result, Result):
                results.append(result)
                if json_to is not None:
                    # After each engine: a long run may be ended before it is through.
                    _write_json(results, json_to)
            else:
                failed += not result.is_peer
                bar.console.print(
                    f"skipped {result.profile}: {result.reason}", markup=False, highlight=False
                )

        run_bench(table, plan, Path(name), begin, done)
    if results:
        # Where nobody looks, lines may be as long as they are.
        console = Console() if sys.stdout.isatty() else Console(width=_FILE_COLUMNS)
        console.print(results_table(results))
    if results and plots is not None:
        from evaluation.index_bench.plots import draw_plots

        for path in draw_plots(results, plots):
            typer.echo(path)
    raise typer.Exit(1 if failed else 0)


def _write_json(results: Sequence[Result], path: Path) -> None:
    document = json.dumps([result.as_json() for result in results], indent=2)
    path.write_text(document + "\n", encoding="utf-8")
