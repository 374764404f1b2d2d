"""The figures of a study as files: results.json, and the tables of selection as CSV."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FILE = "results.json"
TABLES = ("selection", "curves", "timings", "warnings")
"""The lists of rows that become a CSV file; the report adds those about searches."""


def write_results(folder: Path, results: Mapping[str, Any]) -> Path:
    """Writes `results.json` whole, and `NAME.csv` for `TABLES`; returns the former's path.

    In `selection.csv` a line is one class of one selector, with (all) and (group) as classes.
    Numbers that are not finite become null. Raises TypeError for values that JSON does not have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = plain(results)
    path = folder / FILE
    _replace(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for name in TABLES:
        rows = document.get(name)
        if rows:
            _write_csv(folder / f"{name}.csv", _by_class(rows) if name == "selection" else rows)
    return path


def plain(value: Any) -> Any:
    """The value as JSON has it: numpy's numbers and arrays as Python's, NaN and infinity as None.

    Raises TypeError for what has no place in JSON.
    """
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case np.ndarray():
            return plain(value.tolist())
        case list() | tuple():
            return [plain(item) for item in value]
        case None | bool() | str() | int():
            return value
        case np.integer() | np.bool_():
            return value.item()
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _by_class(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    flat = []
    for row in rows:
        named = {key: row[key] for key in ("selector", "control", "patches_per_image")}
        flat.append({**named, "class": "(all)", "objects": None, "captured": row["mean"]})
        for group, share in row["captured_groups"].items():
            flat.append({**named, "class": f"({group})", "objects": None, "captured": share})
        for name, share in row["captured"].items():
            count = row["objects"][name]
            flat.append({**named, "class": name, "objects": count, "captured": share})
    return flat


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([row.get(column) for column in columns])
    os.replace(temporary, path)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
