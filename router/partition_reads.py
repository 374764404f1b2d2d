"""Reading from partitions: one replica of each, others when that one fails or is slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from placement.document import Partition, Placement
from router.call_scope import CallScope
from router.read_run import ReadRun
from router.reading import Read, ReadMeans, ReadResult

ResponseT = TypeVar("ResponseT")


class PartitionReads:
    """Asks partitions. Thread-safe; the work is done by the threads that call."""

    def __init__(self, means: ReadMeans) -> None:
        self._means = means

    def run(
        self,
        read: Read[ResponseT],
        partitions: Sequence[Partition],
        placement: Placement,
        scope: CallScope,
        reserve_s: float = 0.0,
    ) -> ReadResult[ResponseT]:
        """Asks one replica of each partition, all at once, and returns when all have answered or
        the time less `reserve_s` is over, whatever the shards do.

        What fails is asked of other replicas at once, what is slow after a while and within the
        budget of `Hedging`; the first answer wins and the rest is cancelled. A stale placement is
        loaded anew, once. Raises DeadlineExceeded only when no time is left to ask, and
        PatchsearchError CANCELLED when the caller is gone.
        """
        return ReadRun(read, self._means, scope).ask(partitions, placement, reserve_s)
