"""Which of the waiting work goes into the next batch. No threads, no clock, no tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Lane(IntEnum):
    """Kinds of work, most urgent first. A batch holds work of one lane."""

    TEXT = 0
    CROP = 1
    PATCH = 2


@dataclass(frozen=True, slots=True)
class Slice:
    """Items `start` to `stop` (exclusive) of a ticket."""

    ticket: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Work for the model: items of one lane, at most `max_batch` of them, at least one."""

    lane: Lane
    slices: tuple[Slice, ...]

    @property
    def size(self) -> int:
        """Items in the batch."""
        return sum(part.stop - part.start for part in self.slices)


@dataclass(slots=True)
class _Waiting:
    ticket: int
    count: int
    taken: int = 0

    @property
    def left(self) -> int:
        return self.count - self.taken


class BatchQueue:
    """Work that waits, in lanes.

    A text goes before crops, and crops before patches of photos at ingest, so a query waits for the
    batch at work and for queries before it, never for ingest: photos' patches are cut at batch
    boundaries and never ride along in a query's batch, which would make that batch longer. Within a
    lane it is first come, first served, except that a ticket that filled a whole batch and has
    more goes behind the others. Not thread-safe: its owner holds a lock.
    """

    def __init__(self, max_batch: int, queue_limit: int) -> None:
        self._max_batch = max_batch
        self._queue_limit = queue_limit
        self._lanes: dict[Lane, deque[_Waiting]] = {lane: deque() for lane in Lane}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Items that wait, over all lanes."""
        return self._waiting

    @property
    def queue_limit(self) -> int:
        """Most items that may wait."""
        return self._queue_limit

    def admit(self, ticket: int, lane: Lane, count: int) -> bool:
        """Queues `count` items (1 or more) under a new ticket; False, and no change, if no room."""
        if self._waiting + count > self._queue_limit:
            return False
        self._lanes[lane].append(_Waiting(ticket, count))
        self._waiting += count
        return True

    def drop(self, gone: Callable[[int], bool]) -> tuple[int, ...]:
        """Forgets the tickets whose caller is `gone`, and names them."""
        dropped: list[int] = []
        for lane, queue in self._lanes.items():
            leaving = [entry for entry in queue if gone(entry.ticket)]
            if leaving:
                dropped += [entry.ticket for entry in leaving]
                self._waiting -= sum(entry.left for entry in leaving)
                gone_tickets = set(dropped)
                self._lanes[lane] = deque(e for e in queue if e.ticket not in gone_tickets)
        return tuple(dropped)

    def take(self) -> Batch | None:
        """The next batch, removed from the queue; None when nothing waits."""
        for lane, queue in self._lanes.items():
            if queue:
                return self._take_from(lane, queue)
        return None

    def _take_from(self, lane: Lane, queue: deque[_Waiting]) -> Batch:
        slices: list[Slice] = []
        room = self._max_batch
        while queue and room:
            entry = queue[0]
            count = min(room, entry.left)
            slices.append(Slice(entry.ticket, entry.taken, entry.taken + count))
            entry.taken += count
            room -= count
            if entry.left == 0:
                queue.popleft()
            elif count == self._max_batch:
                queue.rotate(-1)
        batch = Batch(lane, tuple(slices))
        self._waiting -= batch.size
        return batch
