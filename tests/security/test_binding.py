"""What may be opened to other machines."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from patchsearch.errors import FailedPrecondition
from service_runtime.exposure import check_exposure
from service_runtime.roles import Role
from service_runtime.server import ServiceServer
from service_runtime.settings import ServiceSettings
from tests.security.conftest import Certificates, Tokens
from tests.security.services import answering, descriptors

PUBLIC = ["patchsearch.v1.SearchService"]
SHARD = ["patchsearch.shard.v1.ShardService"]
ENCODER = ["patchsearch.encoder.v1.EncoderService"]

CERT: dict[str, Any] = {"tls_cert": Path("c"), "tls_key": Path("k")}
CALLERS: dict[str, Any] = {"tls_client_ca": Path("ca")}
TOKENS: dict[str, Any] = {"tokens": Path("t")}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "search.example.org"])
@pytest.mark.parametrize(
    ("services", "given", "named"),
    [
        (PUBLIC, {}, ["--tls-cert", "--tokens", "--insecure"]),
        (PUBLIC, CERT, ["--tokens"]),
        (PUBLIC, TOKENS, ["--tls-cert"]),
        (PUBLIC, {**CERT, **CALLERS}, ["--tokens"]),
        (SHARD, {}, ["--tls-cert", "--tls-client-ca"]),
        (SHARD, CERT, ["--tls-client-ca"]),
        (ENCODER, TOKENS, ["--tls-cert"]),
        (SHARD + PUBLIC, {**CERT, **CALLERS}, ["--tokens"]),
        ([], {}, ["--tls-cert"]),
        (["another.Service"], CERT, ["--tokens"]),
    ],
)
def test_refused(host: str, services: list[str], given: Any, named: list[str]) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        check_exposure(ServiceSettings(host=host, **given), services)

    assert raised.value.reason == "INSECURE_BIND"
    for flag in (*named, host):
        assert flag in raised.value.message


@pytest.mark.parametrize(
    ("host", "services", "given"),
    [
        ("127.0.0.1", PUBLIC, {}),
        ("::1", SHARD, {}),
        ("localhost", PUBLIC, {}),
        ("0.0.0.0", PUBLIC, {**CERT, **TOKENS}),
        ("0.0.0.0", SHARD, {**CERT, **CALLERS}),
        ("0.0.0.0", ENCODER, {**CERT, **TOKENS}),
        ("0.0.0.0", PUBLIC, {"insecure": True}),
    ],
)
def test_let(host: str, services: list[str], given: Any) -> None:
    check_exposure(ServiceSettings(host=host, **given), services)


def test_a_server_refuses_before_it_opens_its_port(stack: ExitStack) -> None:
    (search, *_) = descriptors()
    server = ServiceServer(ServiceSettings(host="0.0.0.0"), [answering(search)])

    with pytest.raises(FailedPrecondition, match="INSECURE_BIND"):
        server.start()

    assert server.port == 0


def test_a_server_with_tls_and_tokens_listens_everywhere(
    certificates: Certificates, tokens: Tokens, stack: ExitStack
) -> None:
    tokens.add(Role.READER)
    (search, *_) = descriptors()
    settings = ServiceSettings(
        host="0.0.0.0", drain_s=0, tokens=tokens.file, **certificates.server("router")
    )

    server = stack.enter_context(ServiceServer(settings, [answering(search)]))

    assert server.port > 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tls_cert": Path("c")}, "belong together"),
        ({"tls_key": Path("k")}, "belong together"),
        (CALLERS, "tls-client-ca needs tls-cert"),
        ({**CERT, "tls_client_names": ["router"]}, "names alone prove nothing"),
    ],
)
def test_half_a_setting_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ServiceSettings(**given)
