"""The sizing table of docs/operations.md is the arithmetic that stands above it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
UNITS = {"M": 1e6, "G": 1e9, "GB": 1e9, "TB": 1e12, "min": 60, "h": 3600, "days": 86400}
DISK = {"graph": 2800, "compact": 2500}
MEMORY = {"graph": 337, "compact": 65}
MILLISECONDS = {"graph": 1.4, "compact": 3.3}


def number(cell: str) -> float:
    """ "13.5 GB" in bytes, "40 M", "1 400"."""
    found = re.fullmatch(r"([\d. ]+?)(?: ([A-Za-z]+))?", cell.strip())
    assert found is not None, cell
    return float(found[1].replace(" ", "")) * UNITS.get(found[2] or "", 1)


def rows() -> list[list[str]]:
    lines = PAGE.read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if re.match(r"\| \d+ [MG] \| `", line)
    ]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]} {row[1]}")
def test_a_row_is_what_the_formulas_give(row: list[str]) -> None:
    patches, profile = number(row[0]), row[1].strip("`")
    shards = max(2, round(patches / 20e6))
    stored = 2 * patches / shards
    memory, cache = (number(part if "GB" in part else part + " GB") for part in row[4].split("+"))
    search_ms = patches / shards / 1e6 * MILLISECONDS[profile]

    def close(value: float) -> object:
        return pytest.approx(value, rel=0.06)

    assert number(row[2]) == shards
    assert number(row[3]) == stored
    assert memory == pytest.approx(stored * MEMORY[profile], rel=0.12)
    assert cache == close(stored * 1024)
    assert number(row[5]) == close(stored * DISK[profile] * 1.5)
    assert number(row[6]) == close(stored * DISK[profile] * 1.5 * shards)
    assert float(row[7].split("+")[0]) == close(search_ms)
    assert number(row[8]) == close(1000 / search_ms)
    assert number(row[9]) == close(patches / 1000)


def test_the_table_reaches_from_a_million_to_ten_billion() -> None:
    sizes = [number(row[0]) for row in rows()]

    assert (min(sizes), max(sizes)) == (1e6, 10e9)
