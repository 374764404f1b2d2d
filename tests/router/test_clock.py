from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from router.clock import HybridLogicalClock, milliseconds_of


@given(st.lists(st.integers(0, 2**47 - 2), min_size=1, max_size=50))
def test_versions_grow_and_are_never_behind_whatever_the_wall_clock_does(times: list[int]) -> None:
    remaining = iter(times)
    clock = HybridLogicalClock(lambda: next(remaining))
    versions = [clock.now() for _ in times]
    assert versions == sorted(set(versions))
    assert all(milliseconds_of(v) >= t for v, t in zip(versions, times, strict=True))
    assert versions[0] == max(1, times[0] << 16)
    assert versions[-1] < 2**64


def test_a_full_counter_carries_into_the_milliseconds() -> None:
    clock = HybridLogicalClock(lambda: 5)
    versions = [clock.now() for _ in range(2**16 + 1)]
    assert milliseconds_of(versions[-2]) == 5
    assert milliseconds_of(versions[-1]) == 6


def test_threads_never_get_the_same_version() -> None:
    clock = HybridLogicalClock(lambda: 1)
    got: list[list[int]] = [[] for _ in range(4)]

    def draw(mine: list[int]) -> None:
        mine.extend(clock.now() for _ in range(2000))

    threads = [threading.Thread(target=draw, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({v for mine in got for v in mine}) == 8000
