"""One router or several: what callers write, and what gRPC connects to."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from patchsearch.errors import InvalidArgument, Unavailable
from patchsearch.ports import join_address


@dataclass(frozen=True, slots=True)
class Target:
    """A gRPC target and the channel arguments that belong to it."""

    name: str
    options: Sequence[tuple[str, Any]] = ()


def split_addresses(address: str) -> list[str]:
    """The addresses in `host:port,host:port`; one address gives itself."""
    return [part.strip() for part in address.split(",") if part.strip()]


def channel_target(address: str) -> Target:
    """What to open a channel to.

    One address is taken as it is. Of several, `host:port,host:port`, every call goes to one that
    answers, in turn, and a call that finds its server gone is sent to the next: the servers must
    serve one collection. Names are looked up now, once; those that are not known are left out. With
    TLS, each server's certificate must be for the first host's name. `dns:///host:port` uses every
    address behind a name likewise, and looks again when one goes away.

    Raises InvalidArgument ADDRESS_INVALID, and Unavailable UNREACHABLE when no name is known.
    """
    parts = split_addresses(address)
    if len(parts) < 2:
        several = address.startswith("dns:")
        return Target(address, (("grpc.lb_policy_name", "round_robin"),) if several else ())
    hosts = [_host_and_port(part) for part in parts]
    places = [_looked_up(host, port) for host, port in hosts]
    # gRPC takes a list of one family alone: the one in which more of the servers have an address.
    family = max(
        (socket.AF_INET, socket.AF_INET6), key=lambda kind: sum(kind in found for found in places)
    )
    chosen = dict.fromkeys(place for found in places for place in found.get(family, ()))
    if not chosen:
        raise Unavailable(
            "UNREACHABLE",
            f"no name in {address} is known; check the names and the network",
            metadata={"address": address},
        )
    scheme = "ipv4" if family == socket.AF_INET else "ipv6"
    return Target(
        f"{scheme}:{','.join(chosen)}",
        (("grpc.lb_policy_name", "round_robin"), ("grpc.default_authority", hosts[0][0])),
    )


def _host_and_port(part: str) -> tuple[str, int]:
    host, colon, port = part.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
        raise InvalidArgument(
            "ADDRESS_INVALID", f"{part!r} is no address; several are given as host:port,host:port"
        )
    return host, int(port)


def _looked_up(host: str, port: int) -> dict[int, list[str]]:
    """The addresses of a host by family, as gRPC writes them; none where its name is not known."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return {}
    places: dict[int, list[str]] = {}
    for family, _, _, _, place in answers:
        if family in (socket.AF_INET, socket.AF_INET6):
            number = str(place[0]).partition("%")[0]
            places.setdefault(family, []).append(join_address(number, port))
    return places
