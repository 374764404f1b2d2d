"""The batching policy, alone."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder_service.batching import BatchQueue, Lane, Slice

TICKETS = st.lists(
    st.tuples(st.sampled_from(list(Lane)), st.integers(1, 30), st.booleans()), max_size=30
)


def drain(queue: BatchQueue):
    while (batch := queue.take()) is not None:
        yield batch


@given(tickets=TICKETS, max_batch=st.integers(1, 12), limit=st.integers(1, 200))
def test_limits_hold_and_every_item_comes_exactly_once(tickets, max_batch, limit):
    queue = BatchQueue(max_batch, limit)
    admitted = {}
    for number, (lane, count, _) in enumerate(tickets):
        room = limit - queue.waiting
        assert queue.admit(number, lane, count) == (count <= room)
        if count <= room:
            admitted[number] = (lane, count)
        assert queue.waiting <= limit
    seen = defaultdict(list)
    for batch in drain(queue):
        assert 1 <= batch.size <= max_batch
        for part in batch.slices:
            assert admitted[part.ticket][0] == batch.lane
            seen[part.ticket] += range(part.start, part.stop)
    assert queue.waiting == 0
    assert seen == {number: list(range(count)) for number, (_, count) in admitted.items()}


@given(tickets=TICKETS, max_batch=st.integers(1, 12))
def test_the_most_urgent_lane_that_waits_is_served(tickets, max_batch):
    queue = BatchQueue(max_batch, 10_000)
    left = dict.fromkeys(Lane, 0)
    for number, (lane, count, _) in enumerate(tickets):
        queue.admit(number, lane, count)
        left[lane] += count
    for batch in drain(queue):
        assert batch.lane == min(lane for lane in Lane if left[lane])
        # No batch is smaller than it has to be.
        assert batch.size == min(max_batch, left[batch.lane])
        left[batch.lane] -= batch.size


@given(tickets=TICKETS, max_batch=st.integers(1, 12), taken=st.integers(0, 5))
def test_callers_that_left_are_never_batched(tickets, max_batch, taken):
    queue = BatchQueue(max_batch, 10_000)
    for number, (lane, count, _) in enumerate(tickets):
        queue.admit(number, lane, count)
    done = defaultdict(int)
    for _ in range(taken):
        batch = queue.take()
        for part in batch.slices if batch else ():
            done[part.ticket] = part.stop
    leaving = {number for number, (_, _, leaves) in enumerate(tickets) if leaves}
    waiting = {number for number, (_, count, _) in enumerate(tickets) if done[number] < count}
    assert set(queue.drop(leaving.__contains__)) == leaving & waiting
    assert queue.waiting == sum(tickets[n][1] - done[n] for n in waiting - leaving)
    rest = {part.ticket for batch in drain(queue) for part in batch.slices}
    assert rest == waiting - leaving


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    max_batch=st.integers(1, 8),
    data=st.data(),
)
def test_a_query_waits_for_no_ingest(sizes, max_batch, data):
    queue = BatchQueue(max_batch, 10_000)
    for number, count in enumerate(sizes):
        queue.admit(number, Lane.PATCH, count)
    for _ in range(data.draw(st.integers(0, 5))):
        queue.take()
    queue.admit(99, Lane.CROP, 1)
    batch = queue.take()
    assert batch is not None and batch.slices == (Slice(99, 0, 1),)


def test_small_tickets_do_not_wait_for_all_of_a_large_one():
    queue = BatchQueue(4, 1000)
    queue.admit(1, Lane.CROP, 100)
    queue.admit(2, Lane.CROP, 1)
    queue.admit(3, Lane.CROP, 1)
    first, second = queue.take(), queue.take()
    assert [part.ticket for part in first.slices] == [1]
    assert [part.ticket for part in second.slices] == [2, 3, 1]


def test_small_tickets_are_first_come_first_served():
    queue = BatchQueue(4, 1000)
    for number in range(4):
        queue.admit(number, Lane.TEXT, 3)
    order = [part.ticket for batch in drain(queue) for part in batch.slices]
    assert order == sorted(order)


def test_nothing_waits():
    assert BatchQueue(4, 10).take() is None


@pytest.mark.parametrize("count", [11, 1000])
def test_a_full_queue_changes_nothing(count):
    queue = BatchQueue(4, 10)
    assert not queue.admit(1, Lane.CROP, count)
    assert queue.waiting == 0 and queue.take() is None
