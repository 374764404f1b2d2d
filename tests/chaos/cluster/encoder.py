"""`python -m tests.chaos.cluster.encoder READY_FILE`: the tests' encoder as a process of its own.

It needs no model, so that a campaign is about the cluster. It ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from patchsearch.encoder.v1.encoder_service_pb2_grpc import add_EncoderServiceServicer_to_server
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings
from tests.contract.fake_encoder import FakeEncoder


def main() -> int:
    service = Service(
        "patchsearch.encoder.v1.EncoderService",
        FakeEncoder(),
        add_EncoderServiceServicer_to_server,
    )
    with ServiceServer(ServiceSettings(drain_s=0, log_level="error"), [service]) as server:
        ready = Path(sys.argv[1])
        part = ready.with_suffix(".part")
        part.write_text(json.dumps({"port": server.port}))
        part.replace(ready)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
