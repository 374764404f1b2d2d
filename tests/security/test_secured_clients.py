"""Clients and commands against a server with TLS and tokens."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from patchsearch import AsyncClient, ChannelSecurity, Client, Photo
from patchsearch.cli.app import app, run
from patchsearch.cli.connection import calls_server
from patchsearch.errors import InvalidArgument, PatchsearchError, Unauthenticated, Unavailable
from patchsearch.results import IngestOutcome
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1 import search_service_pb2_grpc as stubs
from service_runtime import health_check
from service_runtime.roles import Role
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from tests.security.conftest import Certificates, Tokens
from tests.security.services import answering

SHARD = shard_service_pb2.DESCRIPTOR.services_by_name["ShardService"]


class Collection(stubs.SearchServiceServicer):
    """Has stored everything before."""

    def DescribeCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.DescribeCollectionResponse(images=7)

    def IngestImages(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        for index, request in enumerate(request_iterator):
            yield pb.IngestImagesResponse(
                image_id=request.image_id, outcome=pb.INGEST_OUTCOME_UNCHANGED, index=index
            )


@dataclass(frozen=True)
class Secured:
    """A server with TLS and tokens, and one token that may write."""

    address: str
    token: str
    ca: Path


@pytest.fixture
def secured(certificates: Certificates, tokens: Tokens, stack: ExitStack) -> Secured:
    token = tokens.add(Role.WRITER)
    settings = ServiceSettings(drain_s=0, tokens=tokens.file, **certificates.server("router"))
    service = Service(
        "patchsearch.v1.SearchService", Collection(), stubs.add_SearchServiceServicer_to_server
    )
    server = stack.enter_context(ServiceServer(settings, [service]))
    return Secured(server.address, token, certificates.ca)


def photo() -> Photo:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 64)).save(encoded, "PNG")
    return Photo("a", encoded.getvalue())


def test_the_client(secured: Secured) -> None:
    with Client(secured.address, tls_ca=secured.ca, token=secured.token) as client:
        assert client.describe().images == 7
        (result,) = client.ingest([photo()])

    assert result.outcome is IngestOutcome.UNCHANGED


def test_the_asyncio_client(secured: Secured) -> None:
    async def talk() -> tuple[int, list[Any]]:
        async with AsyncClient(
            secured.address, tls_ca=str(secured.ca), token=secured.token
        ) as client:
            images = (await client.describe()).images
            return images, [result async for result in client.ingest([photo()])]

    images, results = asyncio.run(talk())

    assert images == 7
    assert [result.outcome for result in results] == [IngestOutcome.UNCHANGED]


def test_without_a_token_it_is_told_how_to_give_one(secured: Secured) -> None:
    with Client(secured.address, tls_ca=secured.ca) as client:
        with pytest.raises(Unauthenticated, match="PATCHSEARCH_TOKEN") as raised:
            client.describe()
        with pytest.raises(Unauthenticated):
            list(client.ingest([photo()]))

    assert raised.value.reason == "TOKEN_MISSING"


def test_without_tls_it_is_told_of_it(secured: Secured) -> None:
    with Client(secured.address, token=secured.token) as client:
        with pytest.raises(Unavailable, match="--tls-ca"):
            client.describe()


def test_a_server_that_is_not_who_it_should_be(secured: Secured, strangers: Certificates) -> None:
    with Client(secured.address, tls_ca=strangers.ca, token=secured.token) as client:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED") as raised:
            client.describe()

    assert raised.value.reason == "TLS_FAILED"


def test_the_clients_refuse_a_token_in_the_clear() -> None:
    with pytest.raises(InvalidArgument, match="TOKEN_WITHOUT_TLS"):
        Client("192.0.2.7:7100", token="secret")

    async def make() -> None:
        AsyncClient("192.0.2.7:7100", token="secret")

    with pytest.raises(InvalidArgument, match="TOKEN_WITHOUT_TLS"):
        asyncio.run(make())


def test_security_is_given_once() -> None:
    with pytest.raises(TypeError, match="not both"):
        Client("127.0.0.1:1", token="a", security=ChannelSecurity(token="b"))


def test_a_command_takes_flags(secured: Secured, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--address", secured.address, "--tls-ca", str(secured.ca), "--token", secured.token]

    assert run(["describe", "--json", *flags]) == 0

    said = capsys.readouterr().out  # the server's log lines, too
    assert json.loads(said[said.index("{\n") :])["images"] == 7


def test_a_command_takes_variables_and_a_file(
    secured: Secured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATCHSEARCH_ADDRESS", secured.address)
    monkeypatch.setenv("PATCHSEARCH_TLS_CA", str(secured.ca))
    assert run(["describe", "--json"]) == 1
    assert "TOKEN_MISSING" in capsys.readouterr().err

    monkeypatch.setenv("PATCHSEARCH_TOKEN", secured.token)
    assert run(["describe", "--json"]) == 0

    (tmp_path / "token").write_text("another\n")
    assert run(["describe", "--token-file", str(tmp_path / "token")]) == 1
    assert "TOKEN_INVALID" in capsys.readouterr().err


def test_a_command_shows_its_certificate_to_a_shard(
    certificates: Certificates, stack: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServiceSettings(
        drain_s=0, tls_client_ca=certificates.ca, **certificates.server("shard")
    )
    server = stack.enter_context(ServiceServer(settings, [answering(SHARD)]))
    flags = ["--tls-ca", str(certificates.ca)]
    pair = certificates.pair("client")
    shown = [*flags, "--tls-cert", str(pair["cert"]), "--tls-key", str(pair["key"])]

    assert run(["shard", "describe", server.address, "--json", *shown]) == 0
    assert run(["shard", "describe", server.address, "--json", *flags]) == 3
    assert run(["shard", "describe", server.address, "--tls-cert", str(pair["cert"])]) == 1

    said = capsys.readouterr().err
    assert "--tls-cert and --tls-key" in said
    assert "TLS_PAIR_INCOMPLETE" in said


def test_health_is_asked_over_tls(
    certificates: Certificates, stack: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServiceSettings(
        drain_s=0, tls_client_ca=certificates.ca, **certificates.server("shard")
    )
    server = stack.enter_context(ServiceServer(settings, [answering(SHARD)]))
    pair = certificates.pair("shard")
    own = ["--tls-ca", str(certificates.ca), "--tls-cert", str(pair["cert"])]

    assert health_check.main([server.address]) == 1
    assert health_check.main([server.address, *own, "--tls-key", str(pair["key"])]) == 0
    named = [*own, "--tls-key", str(pair["key"]), "--tls-name", "shard"]
    assert health_check.main([server.address, *named]) == 0
    assert health_check.main([server.address, *own]) == 1

    said = [line for line in capsys.readouterr().out.splitlines() if "[info" not in line]
    assert said[:3] == ["UNAVAILABLE", "SERVING", "SERVING"]
    assert "TLS_PAIR_INCOMPLETE" in said[3]


def test_every_command_with_an_address_takes_credentials() -> None:
    def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from commands(command, f"{prefix}{name} ")
            else:
                yield prefix + name, {option for p in command.params for option in p.opts}

    import typer

    missing = [
        name
        for name, options in commands(typer.main.get_command(app))
        if options & {"--address", "address", "--placement"}
        and not {"--tls-ca", "--token"} <= options
    ]

    assert missing == []


def test_a_command_that_forgets_its_security_is_a_defect() -> None:
    def command(address: str) -> None: ...

    with pytest.raises(TypeError, match="takes no security"):
        calls_server(command)


def test_errors_are_typed(secured: Secured) -> None:
    with (
        Client(secured.address, tls_ca=secured.ca, token=secured.token) as client,
        pytest.raises(PatchsearchError) as raised,
    ):
        client.get("a")

    assert raised.value.reason == "NOT_OFFERED"
