"""The rows of the results as CSV files, one line for each row and one more for each class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PARTS = ("search", "recall", "profiles", "options")
"""The lists of the results that become files of their name."""

_ALL_CLASSES = "mean over classes"
_SETTINGS = ("n", "value")


def write_csv_files(folder: Path, results: Mapping[str, Any]) -> list[Path]:
    """Writes `<part>.csv` for each part that has rows; returns the paths.

    `class` is "mean over classes" in the lines of the rows themselves. Nested figures get joined
    names, such as `precision_at_16_mean`.
    """
    paths = []
    for part in PARTS:
        rows = [line for row in results.get(part) or () for line in _lines(row)]
        if rows:
            path = folder / f"{part}.csv"
            _write(path, rows)
            paths.append(path)
    return paths


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _lines(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    own = {key: value for key, value in row.items() if key != "classes"}
    yield {**_labels(own), "class": _ALL_CLASSES, **_flat(own)}
    for name, figures in (row.get("classes") or {}).items():
        yield {**_labels(own), "class": name, **_flat(figures)}


def _labels(row: Mapping[str, Any]) -> dict[str, Any]:
    """What names the row: its words, and the numbers that are settings."""
    return {key: value for key, value in row.items() if isinstance(value, str) or key in _SETTINGS}


def _flat(figures: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested names joined with underscores; lists are left out."""
    out: dict[str, Any] = {}
    for key, value in figures.items():
        if isinstance(value, Mapping):
            out.update(_flat(value, f"{before}{key}_"))
        elif not isinstance(value, list | tuple):
            out[f"{before}{key}"] = value
    return out
