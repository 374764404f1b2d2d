"""How far an ingest is, and how fast."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from patchsearch.results import IngestOutcome, IngestResult

_WINDOW_S = 20.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts so far. `photos_per_s` is over the last 20 s; `remaining_s` is None while unknown."""

    total: int | None
    stored: int
    unchanged: int
    failed: int
    patches: int
    elapsed_s: float
    photos_per_s: float
    remaining_s: float | None

    @property
    def done(self) -> int:
        """Photos that have a result."""
        return self.stored + self.unchanged + self.failed


class ProgressCounter:
    """Counts results. Not thread-safe."""

    def __init__(self, total: int | None, started: float) -> None:
        self._total = total
        self._started = started
        self._counts = dict.fromkeys(IngestOutcome, 0)
        self._patches = 0
        self._recent: deque[tuple[float, int]] = deque([(started, 0)])

    def add(self, result: IngestResult) -> None:
        """Counts one photo."""
        self._counts[result.outcome] += 1
        self._patches += result.patches if result.outcome is IngestOutcome.STORED else 0

    def at(self, now: float) -> Progress:
        """The state at a time of the clock that `started` is of."""
        done = sum(self._counts.values())
        # One sample every tenth of a window is enough for a rate and bounds the memory.
        if now - self._recent[-1][0] >= _WINDOW_S / 10:
            self._recent.append((now, done))
        while len(self._recent) > 1 and now - self._recent[0][0] > _WINDOW_S:
            self._recent.popleft()
        since, before = self._recent[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        left = None if self._total is None else max(self._total - done, 0)
        return Progress(
            total=self._total,
            stored=self._counts[IngestOutcome.STORED],
            unchanged=self._counts[IngestOutcome.UNCHANGED],
            failed=self._counts[IngestOutcome.FAILED],
            patches=self._patches,
            elapsed_s=now - self._started,
            photos_per_s=rate,
            remaining_s=left / rate if left is not None and rate > 0 else None,
        )
