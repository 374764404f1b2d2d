"""`python -m service_runtime.health_check HOST:PORT`: status 0 when the server serves, 1 when not.

For container engines and scripts that have no gRPC health probe of their own, or one that cannot
speak TLS (that of Kubernetes cannot). A server that asks for certificates asks here, too: its own
will do, where it is good for a client.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patchsearch.errors import PatchsearchError
from patchsearch.ports import is_loopback
from patchsearch.wire.security import PLAIN, ChannelSecurity, host_of, open_plain_or_tls


def check(
    address: str,
    *,
    service: str = "",
    timeout_s: float = 5.0,
    security: ChannelSecurity = PLAIN,
    tls_name: str | None = None,
) -> str:
    """What the server says of itself: "SERVING", "NOT_SERVING", or why it could not be asked.

    `tls_name` is the name that its certificate is for, where that is not the address's. Raises what
    `open_plain_or_tls` raises.
    """
    options: list[tuple[str, object]] = []
    if is_loopback(host_of(address)):
        options.append(("grpc.enable_http_proxy", 0))
    if tls_name is not None:
        options.append(("grpc.ssl_target_name_override", tls_name))
    with open_plain_or_tls(address, security, options) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError as error:
            return str(error.code().name) if isinstance(error, grpc.Call) else "UNREACHABLE"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the status; returns 0 for SERVING and 1 for all else."""
    parser = argparse.ArgumentParser(prog="python -m service_runtime.health_check")
    parser.add_argument("address", help="host:port of the server")
    parser.add_argument("--service", default="", help="full name of one service; all by default")
    parser.add_argument("--timeout-s", type=float, default=5.0, help="seconds to wait")
    parser.add_argument("--tls-ca", type=Path, help="PEM file of who signed its certificate")
    parser.add_argument("--tls-cert", type=Path, help="PEM file of a certificate to show")
    parser.add_argument("--tls-key", type=Path, help="PEM file of its private key")
    parser.add_argument("--tls-name", help="name in the server's certificate, if not the address's")
    asked = parser.parse_args(argv)
    try:
        status = check(
            asked.address,
            service=asked.service,
            timeout_s=asked.timeout_s,
            security=ChannelSecurity(ca=asked.tls_ca, cert=asked.tls_cert, key=asked.tls_key),
            tls_name=asked.tls_name,
        )
    except PatchsearchError as error:
        status = str(error)
    print(status)
    return 0 if status == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main())
