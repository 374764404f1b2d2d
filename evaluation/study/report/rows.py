"""Reading a study's results, whatever parts of them there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

_FAVOURITE_LEVEL = "hierarchical-filtered"
_WHOLE_IMAGE = "image"


def rows_of(results: Mapping[str, Any], *names: str) -> list[Row]:
    """The rows under the first of these names that has some; none where there are none."""
    for name in names:
        rows = results.get(name)
        if isinstance(rows, Sequence) and not isinstance(rows, str) and rows:
            return [row for row in rows if isinstance(row, Mapping)]
    return []


def main_level(results: Mapping[str, Any]) -> str:
    """The level that the profiles and studies are about; "" where nothing was searched."""
    told = (results.get("retrieval") or {}).get("level")
    if told:
        return str(told)
    names = [name for name in levels(results) if name != _WHOLE_IMAGE]
    return _FAVOURITE_LEVEL if _FAVOURITE_LEVEL in names else next(iter(names), "")


def levels(results: Mapping[str, Any]) -> list[str]:
    """Names of the levels that were searched, in order."""
    return list(dict.fromkeys(str(row["level"]) for row in rows_of(results, "search")))


def is_control(row: Row) -> bool:
    """Whether a row of `selection` or `curves` is chance or the whole image, not a selector."""
    return bool(row.get("control"))


def mean_captured(row: Row) -> float | None:
    """A selection row's mean: over objects where that is told, else over classes."""
    for name in ("mean_captured", "mean", "mean_over_classes"):
        if isinstance(row.get(name), int | float):
            return float(row[name])
    return None


def class_captured(row: Row) -> dict[str, float]:
    """A selection row's shares by class, groups of classes first."""
    return {**(row.get("captured_groups") or {}), **(row.get("captured") or {})}


def found(
    results: Mapping[str, Any], level: str, query: str, n: int, part: str = "search"
) -> Row | None:
    """The row of this level and query; None where it was not asked."""
    for row in rows_of(results, part):
        if (row["level"], row["query"], row["n"]) == (level, query, n):
            return row
    return None


def precision(row: Row) -> tuple[float, float]:
    """Mean and standard deviation of precision@16."""
    told = row["precision_at_16"]
    return float(told["mean"]), float(told["std"])


def level_name(level: str) -> str:
    """A level in words."""
    return "whole photos" if level == _WHOLE_IMAGE else level


def query_name(row: Row) -> str:
    """What was asked, in words."""
    kind, n = str(row["query"]), int(row["n"])
    if kind == "image":
        return "one crop" if n == 1 else f"average of {n} crops"
    if kind == "text":
        return "one text" if n == 1 else "all wordings, averaged"
    return kind


def dataset_of(results: Mapping[str, Any]) -> Row:
    """What is told about the data set; empty where nothing is."""
    told = results.get("dataset")
    return told if isinstance(told, Mapping) else {}


def name_of(told: object) -> str:
    """The name of a model: told as a string, or as an object with a name."""
    if isinstance(told, Mapping):
        return str(told.get("name", ""))
    return str(told or "")
