"""How long something takes: by the clock, and in work of the processor."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds: `ms` by the clock, `cpu_ms` of processor time, of all the process's threads.

    Where other programs want the processor too, the clock says how busy the machine was.
    """

    ms: float = 0.0
    cpu_ms: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.ms + other.ms, self.cpu_ms + other.cpu_ms)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.ms - other.ms, self.cpu_ms - other.cpu_ms)

    def times(self, factor: float) -> Spent:
        """So many times as much."""
        return Spent(self.ms * factor, self.cpu_ms * factor)


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._begin, self._cpu_begin = time.perf_counter(), time.process_time()

    def spent(self) -> Spent:
        """What has passed since."""
        return Spent(
            (time.perf_counter() - self._begin) * 1e3,
            (time.process_time() - self._cpu_begin) * 1e3,
        )
