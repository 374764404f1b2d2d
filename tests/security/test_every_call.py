"""Every call of every service, with every kind of credential: who gets in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patchsearch.wire.security import ChannelSecurity
from service_runtime.clients import open_channel
from service_runtime.roles import LEAST_ROLES, Role
from service_runtime.server import ServiceServer
from service_runtime.settings import ServiceSettings
from tests.security.conftest import Certificates, Tokens
from tests.security.services import RPCS, Rpc, answering, descriptors, reason_of

MISSING = "UNAUTHENTICATED TOKEN_MISSING"
INVALID = "UNAUTHENTICATED TOKEN_INVALID"
EXPIRED = "UNAUTHENTICATED TOKEN_EXPIRED"
TOO_LOW = "PERMISSION_DENIED ROLE_TOO_LOW"

PUBLIC = [rpc for rpc in RPCS if LEAST_ROLES.get(rpc.path) is not Role.SERVICE]
INTERNAL = [rpc for rpc in RPCS if LEAST_ROLES.get(rpc.path) is Role.SERVICE]
ENOUGH = {
    Role.READER: {Role.READER, Role.WRITER, Role.ADMIN},
    Role.WRITER: {Role.WRITER, Role.ADMIN},
    Role.ADMIN: {Role.ADMIN},
    Role.SERVICE: {Role.SERVICE},
}


def test_every_call_has_its_role_and_no_role_is_left_over() -> None:
    assert {rpc.path for rpc in RPCS} == set(LEAST_ROLES)


def test_the_public_service_and_the_operators_are_for_people() -> None:
    assert {rpc.method.containing_service.full_name for rpc in PUBLIC} == {
        "patchsearch.v1.SearchService",
        "patchsearch.cluster.v1.ClusterService",
    }
    assert {rpc.method.name: LEAST_ROLES[rpc.path].value for rpc in PUBLIC} == {
        "Search": "reader",
        "BatchSearch": "reader",
        "GetImage": "reader",
        "ListImages": "reader",
        "DescribeCollection": "reader",
        "ExplainSelection": "reader",
        "IngestImages": "writer",
        "DeleteImages": "writer",
        "GetClusterStatus": "admin",
        "RunOperation": "admin",
    }


@dataclass(frozen=True)
class Guarded:
    """One server of all services that asks for tokens, and tokens of every kind."""

    channel: grpc.Channel
    by_role: dict[Role, str]
    expired: dict[Role, str]


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Guarded]:
    tokens = Tokens(tmp_path_factory.mktemp("tokens") / "tokens.json")
    by_role = {role: tokens.add(role) for role in Role}
    expired = {role: tokens.add(role, expires_in=timedelta(seconds=-1)) for role in Role}
    settings = ServiceSettings(drain_s=0, tokens=tokens.file, **certificates.server("router"))
    with ExitStack() as stack:
        server = stack.enter_context(
            ServiceServer(settings, [answering(service) for service in descriptors()])
        )
        security = ChannelSecurity(ca=certificates.ca)
        channel = stack.enter_context(open_channel(server.address, security=security))
        yield Guarded(channel, by_role, expired)


@pytest.mark.parametrize("rpc", RPCS, ids=str)
def test_tokens(rpc: Rpc, guarded: Guarded) -> None:
    needed = LEAST_ROLES[rpc.path]

    assert rpc.call(guarded.channel) == MISSING
    assert rpc.call(guarded.channel, "ps_" + "x" * 43) == INVALID
    # Whatever it would have been good for.
    assert rpc.call(guarded.channel, guarded.expired[needed]) == EXPIRED
    for role, token in guarded.by_role.items():
        expected = "OK" if role in ENOUGH[needed] else TOO_LOW
        assert rpc.call(guarded.channel, token) == expected, role


@pytest.fixture(scope="module")
def internal(certificates: Certificates) -> Iterator[str]:
    """Address of a server of all services that asks for certificates and no tokens."""
    settings = ServiceSettings(
        drain_s=0, tls_client_ca=certificates.ca, **certificates.server("shard")
    )
    with ServiceServer(settings, [answering(one) for one in descriptors()]) as server:
        yield server.address


@pytest.mark.parametrize("who", ["plaintext", "no certificate", "wrong authority", "router"])
def test_certificates(
    who: str, internal: str, certificates: Certificates, strangers: Certificates
) -> None:
    security = {
        "plaintext": ChannelSecurity(),
        "no certificate": ChannelSecurity(ca=certificates.ca),
        "wrong authority": ChannelSecurity(ca=certificates.ca, **strangers.pair("router")),
        "router": ChannelSecurity(ca=certificates.ca, **certificates.pair("router")),
    }[who]

    with open_channel(internal, max_attempts=1, security=security) as channel:
        outcomes = {str(rpc): rpc.call(channel) for rpc in INTERNAL}

    expected = "OK" if who == "router" else "UNAVAILABLE UNREACHABLE"
    assert outcomes == {str(rpc): expected for rpc in INTERNAL}


def test_a_server_of_another_authority_is_not_believed(
    internal: str, certificates: Certificates, strangers: Certificates
) -> None:
    security = ChannelSecurity(ca=strangers.ca, **certificates.pair("router"))

    with open_channel(internal, max_attempts=1, security=security) as channel:
        assert RPCS[0].call(channel) == "UNAVAILABLE UNREACHABLE"


def test_health_is_open_where_tokens_are_asked_for(guarded: Guarded) -> None:
    stub = health_pb2_grpc.HealthStub(guarded.channel)

    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_takes_any_token_and_not_none(guarded: Guarded) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    from patchsearch.wire.status import error_from_rpc

    stub = reflection_pb2_grpc.ServerReflectionStub(guarded.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="*")

    with pytest.raises(grpc.RpcError) as raised:
        list(stub.ServerReflectionInfo(iter([request]), timeout=20))
    metadata = [("authorization", f"Bearer {guarded.by_role[Role.READER]}")]
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=20, metadata=metadata)

    assert reason_of(error_from_rpc(raised.value)) == MISSING
    assert len(answer.list_services_response.service) >= 3


@pytest.mark.parametrize("rpc", INTERNAL[:1], ids=str)
def test_a_certificate_can_be_asked_to_bear_a_name(
    rpc: Rpc, certificates: Certificates, stack: ExitStack
) -> None:
    settings = ServiceSettings(
        drain_s=0,
        tls_client_ca=certificates.ca,
        tls_client_names=["router"],
        **certificates.server("shard"),
    )
    server = stack.enter_context(ServiceServer(settings, [answering(s) for s in descriptors()]))

    outcomes = []
    for name in ("router", "shard", "client"):
        security = ChannelSecurity(ca=certificates.ca, **certificates.pair(name))
        with open_channel(server.address, max_attempts=1, security=security) as channel:
            outcomes.append(rpc.call(channel))

    denied = "PERMISSION_DENIED CERTIFICATE_NOT_ALLOWED"
    assert outcomes == ["OK", denied, denied]


def test_a_certificate_is_no_token(
    certificates: Certificates, tokens: Tokens, stack: ExitStack
) -> None:
    settings = ServiceSettings(
        drain_s=0,
        tls_client_ca=certificates.ca,
        tokens=tokens.file,
        **certificates.server("router"),
    )
    server = stack.enter_context(ServiceServer(settings, [answering(s) for s in descriptors()]))
    security = ChannelSecurity(ca=certificates.ca, **certificates.pair("client"))
    channel = stack.enter_context(open_channel(server.address, security=security))

    assert {rpc.call(channel) for rpc in PUBLIC} == {MISSING}
    assert {rpc.call(channel) for rpc in INTERNAL} == {"OK"}
