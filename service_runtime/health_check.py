"""`python -m service_runtime.health_check HOST:PORT`: status 0 when the server serves, 1 when not.

For container engines and scripts that have no gRPC health probe of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patchsearch.ports import is_loopback


def check(address: str, *, service: str = "", timeout_s: float = 5.0) -> str:
    """What the server says of itself: "SERVING", "NOT_SERVING", or why it could not be asked."""
    host = address.rpartition(":")[0].strip("[]")
    options = [("grpc.enable_http_proxy", 0)] if is_loopback(host) else []
    with grpc.insecure_channel(address, options=options) as channel:
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
    asked = parser.parse_args(argv)
    status = check(asked.address, service=asked.service, timeout_s=asked.timeout_s)
    print(status)
    return 0 if status == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main())
