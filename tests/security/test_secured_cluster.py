"""A whole collection behind locked doors: real shards, a router, and a client with a token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from patchsearch import Box, ChannelSecurity, Client, Photo, PhotoLike
from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from patchsearch.errors import FailedPrecondition, PermissionDenied, Unavailable
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from router.program import Router
from router.settings import RouterSettings
from service_runtime.clients import open_channel
from service_runtime.roles import Role
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from tests.contract.cluster import write_placement
from tests.contract.fake_encoder import FakeEncoder, photo
from tests.security.conftest import Certificates, Tokens

StartRouter = Callable[..., str]


class Behind:
    """An encoder and two shards that let services in only."""

    def __init__(self, directory: Path, certificates: Certificates, stack: ExitStack) -> None:
        doors: dict[str, Any] = {
            "drain_s": 0,
            "tls_client_ca": certificates.ca,
            **certificates.server("shard"),
        }
        encoder = Service(
            "patchsearch.encoder.v1.EncoderService",
            FakeEncoder(),
            add_EncoderServiceServicer_to_server,
        )
        server = ServiceServer(ServiceSettings(**doors), [encoder])
        self.encoder = stack.enter_context(server).address
        self.shards = []
        for index in range(2):
            settings = ShardSettings(
                data=directory / f"shard-{index}", map_gb=0.02, **{**doors, "port": 0}
            )
            shard = Shard(settings.data, settings.partition_options())
            stack.callback(shard.close)
            server = ServiceServer(settings, [shard_service(shard)], readiness=shard.open)
            self.shards.append(stack.enter_context(server).address)
        self.placement = directory / "placement.json"
        write_placement(self.placement, self.shards)


@pytest.fixture
def behind(tmp_path: Path, certificates: Certificates, stack: ExitStack) -> Behind:
    return Behind(tmp_path, certificates, stack)


@pytest.fixture
def start_router(
    behind: Behind, certificates: Certificates, tokens: Tokens, stack: ExitStack
) -> Iterator[StartRouter]:
    def start(**changes: Any) -> str:
        values: dict[str, Any] = {
            "port": 0,
            "placement": behind.placement,
            "encoder": behind.encoder,
            "create_partitions": True,
            "startup_timeout_s": 20.0,
            "drain_s": 0.5,
            "tls_ca": certificates.ca,
            "tokens": tokens.file,
            **certificates.server("router"),
        }
        settings = RouterSettings(**{**values, **changes})
        router = Router(settings)
        stack.callback(router.close)
        server = ServiceServer(settings, [router.service], readiness=router.warm_up)
        return stack.enter_context(server).address

    yield start


def photos(count: int) -> list[PhotoLike]:
    return [
        Photo(
            f"drive-{n}",
            photo([(Box(0, 0, 100, 100), n + 1)]),
            uri=f"file:///p/{n}.png",
            metadata={"plate": f"S-{n}"},
        )
        for n in range(count)
    ]


def test_photos_go_in_and_are_found(
    start_router: StartRouter, certificates: Certificates, tokens: Tokens, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    address = start_router(audit_file=audit)
    writer, reader = tokens.add(Role.WRITER, name="w"), tokens.add(Role.READER, name="r")

    with Client(address, tls_ca=certificates.ca, token=writer) as client:
        assert [result.error for result in client.ingest(photos(6))] == [None] * 6
    with Client(address, tls_ca=certificates.ca, token=reader) as client:
        found = client.search("a van", k=3)
        with pytest.raises(PermissionDenied):
            client.delete("drive-0")

    assert len(found) == 3
    assert not found.coverage.degraded
    assert all(hit.uri and hit.metadata for hit in found)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["caller"], line["outcome"]) for line in lines] == [
        ("token:w", "OK"),
        ("token:r", "OK"),
        ("token:r", "PERMISSION_DENIED"),
    ]
    assert lines[0]["images"]["stored"] == 6
    assert lines[1]["hits"] == 3


def test_a_redacting_router_over_the_same_shards(
    start_router: StartRouter, certificates: Certificates, tokens: Tokens
) -> None:
    token = tokens.add(Role.WRITER)
    with Client(start_router(), tls_ca=certificates.ca, token=token) as client:
        assert [result.error for result in client.ingest(photos(2))] == [None] * 2

    with Client(start_router(redact=True), tls_ca=certificates.ca, token=token) as client:
        hits = client.search("a van", k=3)
        (one, other) = client.list()
        detail = client.get("drive-0")
        with pytest.raises(PermissionDenied, match="REDACTED"):
            client.get("drive-0", include_vectors=True)

    assert len(hits) > 0
    assert not any(hit.uri or hit.metadata for hit in hits)
    assert not any(image.uri or image.metadata or image.digest for image in (one, other))
    assert detail.patches and not detail.image.uri


@pytest.mark.parametrize("missing", ["certificate", "authority"])
def test_a_router_without_a_certificate_finds_nobody(
    missing: str, start_router: StartRouter, strangers: Certificates
) -> None:
    given = strangers.server("router") if missing == "certificate" else {"tls_ca": strangers.ca}

    with pytest.raises((Unavailable, FailedPrecondition)):
        start_router(startup_timeout_s=1.0, **given)


def test_a_shard_answers_no_stranger(
    behind: Behind, start_router: StartRouter, certificates: Certificates
) -> None:
    start_router()
    request = shard_service_pb2.DescribePartitionsRequest()

    for security in (ChannelSecurity(), ChannelSecurity(ca=certificates.ca)):
        with open_channel(behind.shards[0], max_attempts=1, security=security) as channel:
            with pytest.raises(grpc.RpcError) as raised:
                ShardServiceStub(channel).DescribePartitions(request, timeout=20)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    tool = ChannelSecurity(ca=certificates.ca, **certificates.pair("client"))
    with open_channel(behind.shards[0], security=tool) as channel:
        answer = ShardServiceStub(channel).DescribePartitions(request, timeout=20)
    assert [one.partition_id for one in answer.partitions] == ["p0"]
