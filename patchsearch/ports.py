"""Ports: whether one can be had, and how an address is written."""

from __future__ import annotations

import errno
import ipaddress
import socket

from patchsearch.errors import FailedPrecondition


def refuse_taken(host: str, port: int, setting: str) -> None:
    """Raises FailedPrecondition (PORT_TAKEN) unless a server could listen at host and port now.

    Asked before the real server binds because grpc reports a port in use on standard error and
    says nothing of the cause. `setting` names flag and variable:
    "--port or PATCHSEARCH_SHARD_PORT".
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise FailedPrecondition(
            "HOST_UNKNOWN", f"host {host!r} has no address here ({error}); give another one"
        ) from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise FailedPrecondition(
                    "PORT_TAKEN",
                    f"port {port} of {host} is in use by another program; stop that one, or choose "
                    f"another port with {setting} (0 takes a free one)",
                    metadata={"port": str(port)},
                ) from error
            raise FailedPrecondition(
                "PORT_UNUSABLE",
                f"cannot listen on port {port} of {host}: {error.strerror}; choose another with "
                f"{setting}",
                metadata={"port": str(port)},
            ) from error


def join_address(host: str, port: int) -> str:
    """`host:port` as gRPC takes it, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable_host(host: str) -> str:
    """The host under which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
