"""Who is told how long the slow parts of a partition take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def commit_not_timed(seconds: float) -> None:
    """For commits whose time nobody keeps."""


def build_not_noticed() -> None:
    """For builds that nobody counts."""


def build_not_timed(what: str, seconds: float) -> None:
    """For builds whose time nobody keeps."""


@dataclass(frozen=True, slots=True)
class Timings:
    """`committed` is told the seconds of each commit of the store, with its fsync; `build_began`
    that a build begins, and `built` at its end, however that came, what was done ("sealing",
    "merging", "compacting") and in how many seconds. On any thread; must not raise."""

    committed: Callable[[float], None] = commit_not_timed
    build_began: Callable[[], None] = build_not_noticed
    built: Callable[[str, float], None] = build_not_timed


NOT_TIMED = Timings()
"""For partitions whose time nobody keeps."""
