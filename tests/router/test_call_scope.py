from __future__ import annotations

import threading
import time

import pytest

from patchsearch.errors import DeadlineExceeded, PatchsearchError
from router.call_scope import CallScope


def test_a_reserve_is_kept_but_never_most_of_what_is_left() -> None:
    assert CallScope(lambda: 10.0).remaining_s(0.02) == pytest.approx(9.98)
    assert CallScope(lambda: 0.04).remaining_s(0.02) == pytest.approx(0.03)


def test_a_pause_that_would_outlast_the_call_is_refused_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        CallScope(lambda: 5.0).pause(6.0)
    assert time.monotonic() - began < 1


def test_a_cancelled_caller_ends_a_pause_and_starts_nothing_more() -> None:
    scope = CallScope(lambda: 60.0)
    timer = threading.Timer(0.05, scope.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(PatchsearchError, match="cancelled") as caught:
        scope.pause(30)
    timer.join()
    assert caught.value.reason == "CANCELLED"
    assert time.monotonic() - began < 10
    assert scope.cancelled
