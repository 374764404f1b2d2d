"""Ingest waits when searches need the router."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.status import error_from_rpc
from tests.contract.fake_encoder import photo
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard
from tests.router.test_fan_out import request
from tests.router.test_replica_reads import count
from tests.router.test_replica_writes import put

Wait = Callable[[Callable[[], bool]], None]


def test_searches_come_before_ingest(stage: Stage, wait_until: Wait) -> None:
    shard = FakeShard()
    router = stage.router([shard], workers=4)
    more = threading.Event()

    def images() -> Iterator[pb.IngestImagesRequest]:
        yield pb.IngestImagesRequest(image_id="a", content=photo([(Box(0, 0, 50, 50), 1)]))
        more.wait(20)
        yield pb.IngestImagesRequest(image_id="b", content=photo([(Box(0, 0, 50, 50), 1)]))

    stream = router.stub.IngestImages(images(), timeout=30)
    assert next(stream).outcome == pb.INGEST_OUTCOME_STORED
    shard.go_on.clear()
    searches = [router.stub.Search.future(request(), timeout=20) for _ in range(2)]
    wait_until(lambda: len(shard.searches) == 2)
    # A new stream is told to come back; an open one gets on, slowly.
    with pytest.raises(grpc.RpcError) as caught:
        put(router, "c")
    error = error_from_rpc(caught.value)
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert error.retry_after_s
    began = time.monotonic()
    more.set()
    assert next(stream).outcome == pb.INGEST_OUTCOME_STORED
    assert time.monotonic() - began > 0.3
    assert count(router, "ingest_shed_total") == 2
    shard.go_on.set()
    for search in searches:
        assert not search.result().coverage.degraded
    assert list(stream) == []
    assert put(router, "c") is None
