"""The door to this package for a service: describe the servicers, then `run` them."""

from __future__ import annotations

from service_runtime.grpc_server import Service, ServiceServer
from service_runtime.program import leave, run, run_main

__all__ = ["Service", "ServiceServer", "leave", "run", "run_main"]
