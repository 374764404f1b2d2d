"""Which segments are rebuilt next: sizes in, places out."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shard_service.maintenance.plan import SegmentSize, to_rebuild


def whole(*rows: int) -> list[SegmentSize]:
    return [SegmentSize(count, count) for count in rows]


def due(
    sizes: list[SegmentSize], *, small: int = 100, largest: int = 10**6, idle: bool = False
) -> list[int]:
    return to_rebuild(sizes, small_rows=small, max_rows=largest, idle=idle)


def test_nothing_is_due() -> None:
    assert due([]) == due(whole(10)) == due(whole(100, 100, 100)) == []
    assert due(whole(100, 400, 1600, 6400)) == []


def test_four_of_a_size_become_one() -> None:
    assert due(whole(100, 110, 120, 130)) == [0, 1, 2, 3]
    assert due(whole(9000, 50, 60, 70, 80)) == [1, 2, 3, 4]
    # Small ones first: the larger ones wait for what they become.
    assert due(whole(500, 500, 500, 500, 100, 100, 100, 100)) == [4, 5, 6, 7]


def test_dead_rows_come_first() -> None:
    sizes = [*whole(100, 100, 100, 100), SegmentSize(1000, 799)]
    assert due(sizes) == [4]
    # A fifth of them may be dead.
    assert due([SegmentSize(1000, 800)]) == []
    assert due([SegmentSize(1000, 0)]) == [0]
    assert due([SegmentSize(100, 10), SegmentSize(1000, 700), *whole(5)]) == [0, 1]


def test_no_merge_grows_beyond_the_limit() -> None:
    assert due(whole(400, 400, 400, 400), largest=1000) == [0, 1]
    assert due(whole(900, 900, 900, 900), largest=1000) == []
    assert due(whole(900, 900), largest=1000, idle=True) == []
    # One that is too large already is rebuilt alone when it has to be.
    assert due([SegmentSize(5000, 3000)], largest=1000) == [0]


def test_when_nothing_is_written_small_ones_join() -> None:
    assert due(whole(100, 100), idle=True) == [0, 1]
    assert due(whole(1000, 100), idle=True) == []
    assert due(whole(800, 100), idle=True) == [0, 1]
    assert due(whole(5000, 800, 100), idle=True) == [0, 1, 2]


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 100)), max_size=12),
    st.booleans(),
)
def test_it_comes_to_an_end(segments: list[tuple[int, int]], idle: bool) -> None:
    sizes = [SegmentSize(rows, rows - rows * dead // 100) for rows, dead in segments]
    live = sum(size.live_rows for size in sizes)
    for _ in range(2 * len(sizes) + 1):
        chosen = due(sizes, largest=8000, idle=idle)
        if not chosen:
            break
        assert chosen == sorted(set(chosen))
        joined = sum(sizes[place].live_rows for place in chosen)
        assert joined <= 8000
        kept = [size for place, size in enumerate(sizes) if place not in chosen]
        sizes = [*kept, *([SegmentSize(joined, joined)] if joined else [])]
    else:
        raise AssertionError("it would go on for ever")
    assert sum(size.live_rows for size in sizes) == live
    assert all(5 * (size.rows - size.live_rows) <= size.rows for size in sizes)
    tiers = itertools.groupby(sorted(int(np.log2(max(s.live_rows / 100, 1)) // 2) for s in sizes))
    assert all(len(list(group)) < 4 or tier >= 2 for tier, group in tiers)
