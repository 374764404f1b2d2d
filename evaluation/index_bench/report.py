"""The results as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table as TextTable

from evaluation.index_bench.results import Result

_COLUMNS = (
    "recall raw",
    "recall",
    "precision",
    "mean ms",
    "p50 ms",
    "p99 ms",
    "queries/s",
    "RAM",
    "resident",
    "disk",
    "train s",
    "build s",
)


def results_table(results: Sequence[Result]) -> TextTable:
    """One line an engine; recall and precision at k, memory in bytes a vector."""
    first = results[0]
    table = TextTable(
        title=f"{first.table}: {first.vectors} vectors x {first.dim}, {first.queries} queries,"
        f" k {first.k}",
        caption="RAM: anonymous memory and resident pages of mapped indexes, bytes a vector."
        " Resident: all pages after the run, mapped vectors too."
        f" Milliseconds: one query at a time on one thread; queries/s: {first.clients} threads.",
    )
    table.add_column("engine", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for result in results:
        one = result.measured
        table.add_row(
            _name(result),
            f"{one.recall_raw:.3f}",
            f"{one.recall:.4f}",
            "-" if one.precision is None else f"{one.precision:.3f}",
            f"{one.mean_ms:.3f}",
            f"{one.p50_ms:.3f}",
            f"{one.p99_ms:.3f}",
            f"{result.qps:.0f}",
            f"{result.ram:.0f}",
            f"{result.resident:.0f}",
            f"{result.disk / result.vectors:.0f}",
            f"{result.train_s:.1f}",
            f"{result.build_s:.1f}",
        )
    return table


def _name(result: Result) -> str:
    if result.effort is None:
        return result.profile
    return f"{result.profile} ({result.effort_name} {result.effort:g})"
