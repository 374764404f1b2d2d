"""Measures recall while the partition serves: some searches are answered again, exactly."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service_runtime.logs import logger
from shard_service.search.query import PartitionQuery
from shard_service.search.ranked_candidates import BoxTuple, RankedRow
from shard_service.search.segment_search import Ranking, search_segments
from shard_service.segments.segment_set import Snapshot
from shard_service.segments.selection import Selection

_WAITING = 16


@dataclass(frozen=True, slots=True)
class MeasuredRecall:
    """Checks of one profile: recall is found hits over expected ones."""

    profile: str
    checks: int
    expected_hits: int
    found_hits: int


Observe = Callable[[str, int, int], None]
"""Told of each check: the profile, how many exact hits were found, how many there are."""


class RecallChecks:
    """Answers a `share` of searches again by reading every row, on a thread of its own.

    A check is dropped rather than waited for. Thread-safe.
    """

    def __init__(self, name: str, share: float, observe: Observe) -> None:
        self._share = share
        self._observe = observe
        self._random = random.Random(name)
        self._log = logger("recall").bind(partition=name)
        self._waiting: queue.Queue[
            tuple[PartitionQuery, Snapshot, Sequence[Selection], Ranking] | None
        ] = queue.Queue(_WAITING)
        self._measured: dict[str, MeasuredRecall] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if share > 0:
            self._thread = threading.Thread(target=self._run, name=f"recall-{name}", daemon=True)
            self._thread.start()

    def searched(
        self,
        query: PartitionQuery,
        snapshot: Snapshot,
        selections: Sequence[Selection],
        ranking: Ranking,
    ) -> None:
        """Takes note of a search, and perhaps checks it later."""
        if self._thread is None or query.exact or self._random.random() >= self._share:
            return
        if not any(segment.profile_name != "exact" for segment in snapshot.segments):
            return
        try:
            self._waiting.put_nowait((query, snapshot, selections, ranking))
        except queue.Full:
            return

    def measured(self) -> tuple[MeasuredRecall, ...]:
        """What all checks so far found, by profile."""
        return tuple(one for _, one in sorted(self._measured.copy().items()))

    def close(self) -> None:
        """Ends the thread, behind the check that is running."""
        self._closed.set()
        if self._thread is not None:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                pass
            self._thread.join()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None and not self._closed.is_set():
            try:
                self._check(*item)
            except Exception as error:
                # A check that fails must not end all later ones.
                self._log.error("a recall check failed", error=str(error), exc_info=error)

    def _check(
        self,
        query: PartitionQuery,
        snapshot: Snapshot,
        selections: Sequence[Selection],
        ranking: Ranking,
    ) -> None:
        exact = search_segments(
            snapshot.segments, selections, replace(query, exact=True), _no_checkpoint
        )
        expected = {_place(row) for row in exact.rows}
        found = {_place(row) for row in ranking.rows}
        names = {segment.profile_name for segment in snapshot.segments} - {"exact"}
        profile, hits = "+".join(sorted(names)), len(found & expected)
        # This thread alone writes.
        before = self._measured.get(profile, MeasuredRecall(profile, 0, 0, 0))
        self._measured[profile] = MeasuredRecall(
            profile,
            before.checks + 1,
            before.expected_hits + len(expected),
            before.found_hits + hits,
        )
        self._observe(profile, hits, len(expected))


def _place(row: RankedRow) -> tuple[int, BoxTuple]:
    return row.first_sequence, row.box


def _no_checkpoint() -> None:
    """Nobody waits."""
