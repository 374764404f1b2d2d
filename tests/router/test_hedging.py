from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.hedging import FIRST_DELAY_S, LEAST_DELAY_S, Hedging, RecentQuantile, TokenBucket


def test_the_estimate_is_the_95th_percentile_of_recent_calls() -> None:
    estimate = RecentQuantile()
    assert estimate.value is None
    for n in range(512):
        estimate.observe(n / 512)
    assert estimate.value == pytest.approx(0.95, abs=0.01)
    for _ in range(512):
        estimate.observe(5.0)
    assert estimate.value == 5.0


@given(st.lists(st.booleans(), max_size=400), st.floats(0.01, 1), st.floats(1, 20))
def test_extra_calls_stay_within_their_share(
    earning: list[bool], share: float, burst: float
) -> None:
    bucket = TokenBucket(share, burst)
    calls = extra = 0
    for earn in earning:
        if earn:
            bucket.earn()
            calls += 1
        else:
            extra += bucket.spend()
    assert extra <= burst + share * calls + 1e-6


def test_a_tenth_of_the_calls_may_be_hedges_in_the_long_run() -> None:
    hedging = Hedging(0.1)
    allowed = 0
    for _ in range(10_000):
        hedging.called()
        allowed += hedging.allow()
    assert 1000 <= allowed <= 1010


def test_the_last_hedges_are_for_calls_that_take_far_longer() -> None:
    hedging = Hedging(0.1)
    for _ in range(64):
        hedging.ended(0.04)
    assert [hedging.allow(0.05) for _ in range(8)] == [True] * 5 + [False] * 3
    assert [hedging.allow(0.2) for _ in range(8)] == [True] * 5 + [False] * 3
    # Both share one budget: a tenth of the calls.
    allowed = 0
    for number in range(5000):
        hedging.called()
        allowed += hedging.allow(0.05 if number % 2 else 0.2)
    assert 495 <= allowed <= 500


def test_the_delay_follows_the_calls_and_has_a_floor() -> None:
    hedging = Hedging(0.1)
    assert hedging.delay_s == FIRST_DELAY_S
    for _ in range(64):
        hedging.ended(0.04)
    assert hedging.delay_s == 0.04
    for _ in range(512):
        hedging.ended(0.0001)
    assert hedging.delay_s == LEAST_DELAY_S


def test_no_share_means_no_hedges() -> None:
    hedging = Hedging(0.0)
    hedging.called()
    assert hedging.delay_s is None
    assert not hedging.allow()
