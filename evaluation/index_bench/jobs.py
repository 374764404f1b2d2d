"""What a child process of the bench is told and what it answers, as JSON files."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Role = Literal["build", "sweep", "measure", "load"]


@dataclass(frozen=True, slots=True)
class Job:
    """One step of one engine, done in a process of its own. Paths are absolute.

    `engine` is one of our profiles when `is_profile`, or a peer's name. `queries` (q, dim) float32
    and `least` (q,) float32 are .npy files. `classes` is "" or a table with classes. `threads` is
    how many may work; `budget_s` bounds repetition, not the first pass over the queries.
    """

    role: Role
    engine: str
    is_profile: bool
    vectors: str
    directory: str
    queries: str
    least: str
    classes: str
    k: int
    effort: float | None
    target: float
    threads: int
    rounds: int
    budget_s: float


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """How well and fast a search goes at one effort."""

    effort: float
    recall: float
    mean_ms: float
    p50_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What one open engine needs, and finds. Bytes in all; milliseconds a query, one by one.

    `cpu_ms` is the mean processor time of all threads of the process: above `mean_ms` where an
    engine does not keep to one thread.
    """

    open_s: float
    resident: int
    anonymous: int
    mapped_index: int
    mapped_vectors: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    recall: float
    recall_raw: float
    precision: float | None


def write_json(path: Path, value: Any) -> None:
    """Writes a dataclass, or a list of them."""
    if isinstance(value, list):
        plain: Any = [dataclasses.asdict(item) for item in value]
    else:
        plain = dataclasses.asdict(value)
    path.write_text(json.dumps(plain), encoding="utf-8")


def read_job(path: Path) -> Job:
    """Reads what `write_json` wrote."""
    return Job(**json.loads(path.read_text(encoding="utf-8")))
