"""Tokens and certificates that change while a server runs."""

from __future__ import annotations

import shutil
import socket
import ssl
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from patchsearch.certificates import make_certificates
from patchsearch.errors import FailedPrecondition
from patchsearch.wire.security import ChannelSecurity
from service_runtime.clients import open_channel
from service_runtime.roles import Role
from service_runtime.server import ServiceServer
from service_runtime.settings import ServiceSettings
from tests.security.conftest import Certificates, Tokens
from tests.security.services import RPCS, answering, descriptors

SEARCH = next(rpc for rpc in RPCS if rpc.method.name == "Search")
INVALID = "UNAUTHENTICATED TOKEN_INVALID"
UNREACHABLE = "UNAVAILABLE UNREACHABLE"


def serve(stack: ExitStack, **settings: object) -> str:
    server = ServiceServer(
        ServiceSettings(drain_s=0, **settings),  # type: ignore[arg-type]
        [answering(service) for service in descriptors()],
    )
    return stack.enter_context(server).address


def copied(source: Certificates, target: Path) -> Certificates:
    shutil.copytree(source.directory, target)
    return Certificates(target)


def shown_serial(address: str, ca: Path) -> str:
    """Serial number of the certificate that a new connection is shown."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        certificate = secured.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def test_tokens_come_and_go_without_a_restart(tokens: Tokens, stack: ExitStack) -> None:
    first = tokens.add(Role.READER, name="anna")
    channel = stack.enter_context(open_channel(serve(stack, tokens=tokens.file)))
    assert SEARCH.call(channel, first) == "OK"

    second = tokens.add(Role.READER, name="ben")
    assert SEARCH.call(channel, second) == "OK"

    tokens.revoke("anna")
    assert SEARCH.call(channel, first) == INVALID
    assert SEARCH.call(channel, second) == "OK"


@pytest.mark.parametrize("damage", ["", "{", '{"format": 2, "tokens": []}'])
def test_a_slip_in_the_file_locks_nobody_out(damage: str, tokens: Tokens, stack: ExitStack) -> None:
    token = tokens.add(Role.READER)
    channel = stack.enter_context(open_channel(serve(stack, tokens=tokens.file)))
    assert SEARCH.call(channel, token) == "OK"

    tokens.file.write_text(damage)

    assert SEARCH.call(channel, token) == "OK"
    assert SEARCH.call(channel, "ps_unknown") == INVALID


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a file of tokens"),
        ('{"format": 1, "tokens": [{"name": "a", "role": "king", "sha256": "00"}]}', "sha256"),
        (
            '{"format": 1, "tokens": [{"name": "a", "role": "king", "sha256": "'
            + "0" * 64
            + '"}]}',
            "king",
        ),
        (
            '{"format": 1, "tokens": [{"name": "a", "role": "admin", "sha256": "'
            + "0" * 64
            + '", "expries": "2020-01-01"}]}',
            "expries",
        ),
        (
            '{"format": 1, "tokens": [{"name": "a", "role": "admin", "sha256": "'
            + "0" * 64
            + '", "rate": 0}]}',
            "rate",
        ),
    ],
)
def test_a_server_does_not_start_with_a_bad_file(
    content: str, words: str, tokens: Tokens, stack: ExitStack
) -> None:
    tokens.file.write_text(content)

    with pytest.raises(FailedPrecondition, match=words) as raised:
        serve(stack, tokens=tokens.file)

    assert raised.value.reason == "TOKENS_INVALID"


def test_an_expired_token_ends_by_itself(tokens: Tokens, stack: ExitStack) -> None:
    token = tokens.add(Role.READER, expires_in=timedelta(seconds=0.5))
    channel = stack.enter_context(open_channel(serve(stack, tokens=tokens.file)))

    outcome = SEARCH.call(channel, token)
    while outcome == "OK":
        outcome = SEARCH.call(channel, token)

    assert outcome == "UNAUTHENTICATED TOKEN_EXPIRED"


def test_a_new_connection_is_shown_the_renewed_certificate(
    certificates: Certificates, tmp_path: Path, stack: ExitStack
) -> None:
    mine = copied(certificates, tmp_path / "mine")
    address = serve(stack, **mine.server("router"))
    # A call that was begun with the old one goes on.
    kept = stack.enter_context(open_channel(address, security=ChannelSecurity(ca=mine.ca)))
    assert SEARCH.call(kept) == "OK"
    before = shown_serial(address, mine.ca)
    assert shown_serial(address, mine.ca) == before

    make_certificates(mine.directory, ["router"], days=2)

    assert shown_serial(address, mine.ca) != before
    assert SEARCH.call(kept) == "OK"


def test_half_a_renewal_leaves_the_old_certificate(
    certificates: Certificates, tmp_path: Path, stack: ExitStack
) -> None:
    mine = copied(certificates, tmp_path / "mine")
    address = serve(stack, **mine.server("router"))
    before = shown_serial(address, mine.ca)
    key = mine.pair("router")["key"]
    whole = key.read_bytes()

    shutil.copy(mine.pair("shard")["key"], key)
    assert shown_serial(address, mine.ca) == before
    key.write_text("not a key")
    assert shown_serial(address, mine.ca) == before
    key.write_bytes(whole)
    assert shown_serial(address, mine.ca) == before


def test_a_new_authority_of_callers_is_taken_up(
    certificates: Certificates, strangers: Certificates, tmp_path: Path, stack: ExitStack
) -> None:
    mine = copied(certificates, tmp_path / "mine")
    callers = tmp_path / "callers.crt"
    shutil.copy(mine.ca, callers)
    address = serve(stack, tls_client_ca=callers, **mine.server("shard"))
    security = ChannelSecurity(ca=mine.ca, **strangers.pair("client"))

    with open_channel(address, max_attempts=1, security=security) as channel:
        assert SEARCH.call(channel) == UNREACHABLE
    callers.write_bytes(mine.ca.read_bytes() + strangers.ca.read_bytes())
    with open_channel(address, max_attempts=1, security=security) as channel:
        assert SEARCH.call(channel) == "OK"


def test_a_channel_takes_up_its_renewed_certificate(
    certificates: Certificates, strangers: Certificates, tmp_path: Path, stack: ExitStack
) -> None:
    mine = copied(strangers, tmp_path / "mine")
    address = serve(stack, tls_client_ca=certificates.ca, **certificates.server("shard"))
    security = ChannelSecurity(ca=certificates.ca, **mine.pair("client"))
    channel = stack.enter_context(open_channel(address, max_attempts=1, security=security))
    call = channel.unary_unary(SEARCH.path)
    assert SEARCH.call(channel) == UNREACHABLE

    for name in ("client.key", "client.crt"):
        shutil.copy(certificates.directory / name, mine.directory / name)

    assert SEARCH.call(channel) == "OK"
    # What was made of the channel before the renewal, too, as stubs are.
    assert call(b"", timeout=20) == b""


def test_a_channel_keeps_what_it_has_when_the_files_turn_bad(
    certificates: Certificates, tmp_path: Path, stack: ExitStack
) -> None:
    mine = copied(certificates, tmp_path / "mine")
    address = serve(stack, tls_client_ca=mine.ca, **certificates.server("shard"))
    security = ChannelSecurity(ca=mine.ca, **mine.pair("client"))
    channel = stack.enter_context(open_channel(address, max_attempts=1, security=security))
    assert SEARCH.call(channel) == "OK"

    (mine.directory / "client.key").unlink()

    assert SEARCH.call(channel) == "OK"


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [
        ("router.crt", "shard.key", "TLS_PAIR_MISMATCH"),
        ("missing.crt", "router.key", "TLS_FILE_UNREADABLE"),
        ("tokens.json", "router.key", "TLS_FILE_UNREADABLE"),
    ],
)
def test_a_server_does_not_start_with_bad_certificates(
    cert: str,
    key: str,
    reason: str,
    certificates: Certificates,
    tmp_path: Path,
    tokens: Tokens,
    stack: ExitStack,
) -> None:
    mine = copied(certificates, tmp_path / "mine")
    shutil.copy(tokens.file, mine.directory / "tokens.json")

    with pytest.raises(FailedPrecondition) as raised:
        serve(stack, tls_cert=mine.directory / cert, tls_key=mine.directory / key)

    assert raised.value.reason == reason
