"""A stand-in for encoder, shard and router: the real program life, no work to do.

`python fake_service.py ROLE FLAGS`. It takes the flags of all three roles and writes down how it
was started in FAKE_TRACE/<role>-<pid>.json.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from patchsearch.errors import FailedPrecondition
from patchsearch.v1 import search_service_pb2_grpc
from service_runtime.server import Service, run, run_main
from service_runtime.settings import ServiceSettings, parse_settings


class FakeSettings(ServiceSettings):
    """A service for tests."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_FAKE_")

    model: str = Field("", description="Name of the model.")
    data: Path | None = Field(None, description="Data directory.")
    name: str = Field("", description="Name of the shard.")
    placement: Path | None = Field(None, description="Placement file.")
    encoder: str = Field("", description="Address of the encoder.")
    create_partitions: bool = Field(False, description="Create what is missing.")
    fail: str = Field("", description="Fail at start with this message.")
    crash_after_s: float = Field(0, description="Seconds after being ready; 0: never.")


def die(settings: FakeSettings) -> None:
    """Ends the process with status 7 some time after it became ready."""
    while settings.ready_file is not None and not settings.ready_file.exists():
        time.sleep(0.02)
    time.sleep(settings.crash_after_s)
    os._exit(7)


def main(role: str, argv: list[str]) -> int:
    prog = f"patchsearch-{role}"
    settings = parse_settings(FakeSettings, argv, prog)
    trace = Path(os.environ["FAKE_TRACE"]) / f"{role}-{os.getpid()}.json"
    trace.write_text(json.dumps(argv))

    def body() -> int:
        if settings.fail:
            raise FailedPrecondition("BROKEN", settings.fail)
        if settings.data is not None:
            (settings.data / "partitions" / settings.name.replace("shard-", "p")).mkdir(
                parents=True, exist_ok=True
            )
        if settings.crash_after_s:
            threading.Thread(target=die, args=(settings,), daemon=True).start()
        servicer = search_service_pb2_grpc.SearchServiceServicer()
        add = search_service_pb2_grpc.add_SearchServiceServicer_to_server
        service = Service("patchsearch.v1.SearchService", servicer, add)
        return run(settings, [service], prog=prog)

    return run_main(prog, body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
