"""The writer thread: what it merges, what it refuses, what fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from patchsearch.errors import ResourceExhausted, Unavailable
from shard_service.store.group_commit import GroupCommit
from tests.shard_service.conftest import Workers


class FakeDisk:
    """Commits when it is told to; remembers the transactions."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.busy = threading.Event()
        self.transactions: list[list[int]] = []

    def __call__(self, operations: Sequence[int]) -> list[int]:
        self.busy.set()
        self.go.acquire()
        self.transactions.append(list(operations))
        if -1 in operations:
            raise OSError("the disk is on fire")
        return [10 * operation for operation in operations]


def test_what_waits_is_merged_and_everybody_gets_their_own(workers: Workers) -> None:
    disk = FakeDisk()
    group: GroupCommit[int, int] = GroupCommit("t", disk)
    outcomes: dict[int, Sequence[int]] = {}

    def submit(number: int) -> None:
        outcomes[number] = group.submit([number, number + 1])

    workers.start(lambda: submit(0))
    assert disk.busy.wait(5)
    for number in (2, 4, 6):
        workers.start(lambda number=number: submit(number))
    while len(group._waiting) < 3:
        pass
    disk.go.release(2)
    workers.join()
    group.close()
    assert outcomes == {n: [10 * n, 10 * (n + 1)] for n in (0, 2, 4, 6)}
    assert [len(one) for one in disk.transactions] == [2, 6]


def test_a_failure_reaches_its_callers_and_later_writes_go_on() -> None:
    disk = FakeDisk()
    disk.go.release(2)
    group: GroupCommit[int, int] = GroupCommit("t", disk)
    with pytest.raises(OSError, match="on fire"):
        group.submit([-1])
    assert group.submit([3]) == [30]
    group.close()


def test_too_many_waiting_and_a_closed_door(workers: Workers) -> None:
    disk = FakeDisk()
    group: GroupCommit[int, int] = GroupCommit("t", disk, max_waiting=1)
    workers.start(lambda: group.submit([1]))
    assert disk.busy.wait(5)
    workers.start(lambda: group.submit([2]))
    while not group._waiting:
        pass
    with pytest.raises(ResourceExhausted, match="OVERLOADED"):
        group.submit([3])
    disk.go.release(2)
    # Closing commits what was accepted.
    group.close()
    workers.join()
    assert sorted(disk.transactions) == [[1], [2]]
    with pytest.raises(Unavailable, match="NOT_READY"):
        group.submit([4])
