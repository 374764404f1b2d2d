from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsearch.errors import FailedPrecondition
from router.clock import REMEMBERED, ROUTERS, HybridLogicalClock, milliseconds_of


@given(st.lists(st.integers(0, 2**47 - 2), min_size=1, max_size=50))
def test_versions_grow_and_are_never_behind_whatever_the_wall_clock_does(times: list[int]) -> None:
    remaining = iter(times)
    clock = HybridLogicalClock(lambda: next(remaining))
    versions = [clock.now() for _ in times]
    assert versions == sorted(set(versions))
    assert all(milliseconds_of(v) >= t for v, t in zip(versions, times, strict=True))
    assert versions[0] >> 8 == max(1, times[0] << 8)
    assert versions[-1] < 2**64


def test_a_full_counter_carries_into_the_milliseconds() -> None:
    clock = HybridLogicalClock(lambda: 5)
    versions = [clock.now() for _ in range(2**8 + 1)]
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


def test_what_was_observed_is_overtaken() -> None:
    clock = HybridLogicalClock(lambda: 1, router=7)
    ahead = (60_000 << 16) + 200
    clock.observe(ahead)
    assert clock.now() == (60_000 << 16) + ROUTERS + 7
    clock.observe(5)
    assert clock.now() == (60_000 << 16) + 2 * ROUTERS + 7


def test_a_clock_keeps_up_with_one_that_is_ahead() -> None:
    wall_ms = 1000
    clock = HybridLogicalClock(lambda: wall_ms, ahead_s=60)
    assert clock.follow(3000 << 16)
    wall_ms = 5000
    assert milliseconds_of(clock.now()) == 6996
    # What was stored a while ago tells less.
    assert clock.follow(5500 << 16)
    wall_ms = 6000
    assert milliseconds_of(clock.now()) == 7995
    assert not clock.follow(70_000 << 16)
    assert milliseconds_of(clock.now()) == 7995


def test_a_lead_that_is_not_seen_again_is_lost_slowly() -> None:
    wall_ms = 1000
    clock = HybridLogicalClock(lambda: wall_ms, ahead_s=60)
    assert clock.follow(3000 << 16)
    wall_ms += 1_000_000
    assert milliseconds_of(clock.now()) == wall_ms + 1000
    wall_ms += 2_000_000
    assert milliseconds_of(clock.now()) == wall_ms


def test_what_is_too_far_ahead_is_not_learned() -> None:
    clock = HybridLogicalClock(lambda: 1000, router=0, ahead_s=60)
    with pytest.raises(FailedPrecondition, match=r" 62 s ahead.*60 s \(--max-clock-ahead-s\)"):
        clock.observe(63_001 << 16)
    assert milliseconds_of(clock.now()) == 1000
    clock.observe(61_000 << 16)
    assert milliseconds_of(clock.now()) == 61_000


def test_two_routers_never_make_the_same_version() -> None:
    one, other = (HybridLogicalClock(lambda: 1, router=r) for r in (3, 4))
    assert not {one.now() for _ in range(1000)} & {other.now() for _ in range(1000)}


def test_own_versions_are_known_by_the_one_they_began_with() -> None:
    clock = HybridLogicalClock(lambda: 1)
    first, later = clock.now(), clock.now()
    newer = clock.again(first)
    assert newer > later
    assert [clock.first_version(v) for v in (first, later, newer)] == [first, later, first]
    assert clock.first_version(newer + 1) is None


def test_only_so_many_own_versions_are_remembered() -> None:
    clock = HybridLogicalClock(lambda: 1)
    first = clock.now()
    for _ in range(REMEMBERED):
        last = clock.now()
    assert clock.first_version(first) is None
    assert clock.first_version(last) == last
