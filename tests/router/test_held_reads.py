"""Reads that a shard refuses for the sake of a placement that is about to come."""

from __future__ import annotations

import threading

from cluster.publishing import HOLD_S
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard
from tests.router.test_fan_out import hit, ids, request


def test_a_shard_that_held_reads_for_a_placement_that_never_came_is_asked_again(
    stage: Stage,
) -> None:
    """As when the command that was to publish it was killed."""
    shard = FakeShard([hit("a", 0.9)])
    router = stage.router([shard])
    shard.oldest_epoch = 2
    over = threading.Timer(HOLD_S, lambda: setattr(shard, "oldest_epoch", 0))
    over.start()
    response = router.stub.Search(request(), timeout=10)
    over.join()
    assert ids(response) == ["a"] and not response.coverage.degraded
