"""Copies of a partition's directory as it lies at a named moment: what a SIGKILL would leave.

The page cache survives the process, so the bytes that are written so far are what the next start
finds. The moments are those that the partition announces to audit hooks.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

EVENT = "patchsearch.shard"


class CrashCopies:
    """Copies one directory at the next time that a moment is reached. One at a time."""

    def __init__(self) -> None:
        self._armed: tuple[str, Path, Path] | None = None
        sys.addaudithook(self._heard)

    @contextmanager
    def at(self, point: str, source: Path, target: Path) -> Iterator[None]:
        """Listens while it is entered; where `point` is not reached, there is no copy."""
        self._armed = (point, source, target)
        try:
            yield
        finally:
            self._armed = None

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != EVENT or self._armed is None or arguments[0] != self._armed[0]:
            return
        _, source, target = self._armed
        self._armed = None
        shutil.copytree(source, target)


@cache
def crash_copies() -> CrashCopies:
    """The one of this process: audit hooks are for ever."""
    return CrashCopies()
