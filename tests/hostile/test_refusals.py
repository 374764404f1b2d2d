"""Single refusals that the campaign asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from patchsearch.encoder.v1 import encoder_service_pb2 as encoder_pb
from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from patchsearch.errors import FailedPrecondition, InvalidArgument
from patchsearch.wire.status import error_from_rpc
from router.clock import HybridLogicalClock, milliseconds_of
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from tests.contract.cluster import Cluster, serving_router
from tests.contract.fake_encoder import FakeEncoder

_TIMEOUT_S = 30


@pytest.fixture
def encoder() -> Iterator[ServiceServer]:
    service = Service(
        "patchsearch.encoder.v1.EncoderService", FakeEncoder(), add_EncoderServiceServicer_to_server
    )
    with ServiceServer(ServiceSettings(drain_s=0), [service]) as server:
        yield server


def call(address: str, method: str, data: bytes, **options: object) -> bytes:
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        return channel.unary_unary(method)(data, timeout=_TIMEOUT_S, **options)


def test_a_message_of_another_kind_is_invalid(encoder: ServiceServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(encoder.address, "/patchsearch.encoder.v1.EncoderService/EncodeTexts", b"\xff\xff\xff")
    error = error_from_rpc(caught.value)
    assert isinstance(error, InvalidArgument) and error.reason == "MESSAGE_INVALID"


def test_a_stream_with_a_message_of_another_kind_is_invalid(
    encoder: ServiceServer, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path, 1, encoder.address)
    try:
        with (
            serving_router(cluster.placement_path, encoder.address) as router,
            grpc.insecure_channel(router.server.address) as channel,
        ):
            ingest = channel.stream_stream("/patchsearch.v1.SearchService/IngestImages")
            with pytest.raises(grpc.RpcError) as caught:
                list(ingest(iter([b"\xff\xff\xff"]), timeout=_TIMEOUT_S))
    finally:
        cluster.close()
    error = error_from_rpc(caught.value)
    assert isinstance(error, InvalidArgument) and error.reason == "MESSAGE_INVALID"


def test_compressed_messages_are_refused_before_they_are_inflated(encoder: ServiceServer) -> None:
    method = "/patchsearch.encoder.v1.EncoderService/EncodeTexts"
    sound = encoder_pb.EncodeTextsRequest(texts=["a van " * 1000]).SerializeToString()
    assert call(encoder.address, method, sound)
    with pytest.raises(grpc.RpcError) as caught:
        call(encoder.address, method, sound, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("partition_id", ["../../victim", "..", ".", "", "a/b", "x" * 100_000])
def test_no_id_of_a_partition_leads_out_of_its_directory(tmp_path: Path, partition_id: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("kept")
    settings = ShardSettings(data=tmp_path / "shard", map_gb=0.02)
    shard = Shard(settings.data, settings.partition_options())
    shard.open()
    try:
        with pytest.raises(InvalidArgument) as caught:
            shard.drop(partition_id)
    finally:
        shard.close()
    assert caught.value.reason == "PARTITION_INVALID"
    assert (victim / "file").read_text() == "kept" and (tmp_path / "shard").is_dir()


def test_a_version_from_the_end_of_time_does_not_stop_the_clocks() -> None:
    today = 1_800_000_000_000
    clock = HybridLogicalClock(lambda: today)
    with pytest.raises(FailedPrecondition, match="VERSION_TOO_FAR_AHEAD"):
        clock.observe(2**64 - 1)
    assert milliseconds_of(clock.now()) == today
    clock.observe((today + 60_000) << 16)
    assert milliseconds_of(clock.now()) == today + 60_000
