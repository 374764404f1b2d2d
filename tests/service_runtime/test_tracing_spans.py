"""One trace a search, over a router, an encoder and two shards that all serve for real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import SettingsConfigDict

from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from service_runtime.tracing import REQUEST_ID
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from tests.contract.cluster import RunningRouter, serving_router, write_placement
from tests.contract.fake_encoder import FakeEncoder, photo
from tests.service_runtime.otlp_collector import Collector, Received, collecting

SERVER, CLIENT, INTERNAL = 2, 3, 1
SEARCH = "patchsearch.v1.SearchService/Search"
BATCH = "patchsearch.v1.SearchService/BatchSearch"
INGEST = "patchsearch.v1.SearchService/IngestImages"
ENCODE = "patchsearch.encoder.v1.EncoderService/EncodeTexts"
SHARD = "patchsearch.shard.v1.ShardService/SearchPartitions"
TIMEOUT_S = 20


class EncoderSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_ENCODER_")


@contextmanager
def cluster(directory: Path, **tracing: Any) -> Iterator[RunningRouter]:
    """An encoder, two shards and a router, each a server of its own; ends with all spans sent."""
    with ExitStack() as stack:
        encoder = stack.enter_context(
            ServiceServer(
                EncoderSettings(drain_s=0, **tracing),
                [
                    Service(
                        "patchsearch.encoder.v1.EncoderService",
                        FakeEncoder(),
                        add_EncoderServiceServicer_to_server,
                    )
                ],
            )
        )
        addresses = []
        for index in range(2):
            settings = ShardSettings(
                data=directory / f"shard-{index}", port=0, drain_s=0, map_gb=0.02, **tracing
            )
            shard = Shard(settings.data, settings.partition_options())
            stack.callback(shard.close)
            addresses.append(
                stack.enter_context(
                    ServiceServer(settings, [shard_service(shard)], readiness=shard.open)
                ).address
            )
        write_placement(directory / "placement.json", addresses)
        yield stack.enter_context(
            serving_router(directory / "placement.json", encoder.address, **tracing)
        )


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def text(words: str) -> pb.SearchRequest:
    return pb.SearchRequest(terms=[{"text": words, "weight": 1}], k=4)


def of(spans: list[Received], name: str, kind: int) -> list[Received]:
    return [span for span in spans if (span.name, span.kind) == (name, kind)]


def test_a_search_is_one_trace_with_the_right_parents(tmp_path: Path, collector: Collector) -> None:
    with cluster(tmp_path, otlp_endpoint=collector.endpoint) as router:
        _, call = router.stub.Search.with_call(text("a red sign"), timeout=TIMEOUT_S)
        request_id = dict(call.trailing_metadata())["x-request-id"]

    (root,) = of(collector.spans, SEARCH, SERVER)
    trace = [span for span in collector.spans if span.trace == root.trace]
    parents = {span.id: span for span in trace}
    path: dict[str, list[str]] = {}
    for span in trace:
        names, above = [], span
        while above.parent:
            above = parents[above.parent]
            names.append(above.name)
        path.setdefault(f"{span.service} {span.name} {span.kind}", []).append(" < ".join(names))
    encoding, fanning = f"encode < {SEARCH}", f"fan-out < {SEARCH}"
    assert path == {
        f"patchsearch-router {SEARCH} {SERVER}": [""],
        f"patchsearch-router encode {INTERNAL}": [SEARCH],
        f"patchsearch-router {ENCODE} {CLIENT}": [encoding],
        f"patchsearch-encoder {ENCODE} {SERVER}": [f"{ENCODE} < {encoding}"],
        f"patchsearch-router fan-out {INTERNAL}": [SEARCH],
        f"patchsearch-router {SHARD} {CLIENT}": [fanning] * 2,
        f"patchsearch-shard {SHARD} {SERVER}": [f"{SHARD} < {fanning}"] * 2,
        f"patchsearch-shard partitions {INTERNAL}": [f"{SHARD} < {SHARD} < {fanning}"] * 2,
        f"patchsearch-router merge {INTERNAL}": [SEARCH],
    }
    served = [span for span in trace if span.kind == SERVER]
    assert {span.attributes[REQUEST_ID] for span in served} == {request_id}
    assert {span.attributes["rpc.response.status_code"] for span in served} == {"OK"}
    assert not [span for span in trace if span.failed]
    for span in trace:
        if span.parent and parents[span.parent].service == span.service:
            assert parents[span.parent].start_ns <= span.start_ns <= span.end_ns


def test_the_callers_trace_goes_on(tmp_path: Path, collector: Collector) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with cluster(tmp_path, otlp_endpoint=collector.endpoint, otlp_share=0.0) as router:
        router.stub.Search(
            text("one"),
            timeout=TIMEOUT_S,
            metadata=(("traceparent", f"00-{trace}-{parent}-01"),),
        )
        router.stub.Search(text("two"), timeout=TIMEOUT_S)

    (root,) = of(collector.spans, SEARCH, SERVER)
    assert (root.trace, root.parent) == (trace, parent)
    assert {span.trace for span in collector.spans} == {trace}


def test_the_searches_of_a_batch_are_in_its_trace(tmp_path: Path, collector: Collector) -> None:
    with cluster(tmp_path, otlp_endpoint=collector.endpoint) as router:
        request = pb.BatchSearchRequest(requests=[text("one"), text("two"), text("three")])
        router.stub.BatchSearch(request, timeout=TIMEOUT_S)

    (root,) = of(collector.spans, BATCH, SERVER)
    merges = of(collector.spans, "merge", INTERNAL)
    assert len(merges) == 3
    assert {span.trace for span in merges} == {root.trace}
    # One call at each of the two shards.
    assert len(of(collector.spans, SHARD, SERVER)) == 2


def test_a_refused_call_tells_why(tmp_path: Path, collector: Collector) -> None:
    with cluster(tmp_path, otlp_endpoint=collector.endpoint) as router:
        wrong = pb.SearchRequest(terms=[{"crop": b"none", "weight": 1}])
        with pytest.raises(Exception, match="no picture"):
            router.stub.Search(wrong, timeout=TIMEOUT_S)

    (root,) = of(collector.spans, SEARCH, SERVER)
    assert root.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert root.attributes["error.type"] == "CROP_UNDECODABLE"
    assert not root.failed, "the caller is to blame, not this server"
    (stage,) = of(collector.spans, "encode", INTERNAL)
    assert (stage.failed, stage.attributes["error.type"]) == (True, "CROP_UNDECODABLE")


def test_a_stream_is_no_parent_of_what_it_carries(tmp_path: Path, collector: Collector) -> None:
    with cluster(tmp_path, otlp_endpoint=collector.endpoint) as router:
        record = pb.IngestImagesRequest(image_id="a", content=photo([(Box(0, 0, 64, 64), 1)]))
        results = list(router.stub.IngestImages(iter([record]), timeout=TIMEOUT_S))
        assert not results[0].HasField("error")

    (stream,) = of(collector.spans, INGEST, SERVER)
    assert [span.name for span in collector.spans if span.trace == stream.trace] == [INGEST]
