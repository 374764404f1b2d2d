"""A server program for tests: `python example_program.py [--warm-s S] [--fail ...] FLAGS`."""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

import grpc
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from patchsearch.errors import FailedPrecondition
from patchsearch.v1 import search_service_pb2 as messages
from patchsearch.v1 import search_service_pb2_grpc as stubs
from service_runtime.server import Service, leave, run, run_main
from service_runtime.settings import ServiceSettings, parse_settings


class ExampleSettings(ServiceSettings):
    """A server for tests."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_EXAMPLE_")

    warm_s: float = Field(0.0, description="Seconds that the warm-up takes.")
    search_s: float = Field(0.0, description="Seconds that a search takes.")
    linger: bool = Field(False, description="A thread of a library runs on in the end.")
    fail: Literal["", "open", "warm", "defect"] = Field("", description="What fails.")


class SlowSearchServicer(stubs.SearchServiceServicer):
    """Sleeps, then answers with the epoch 7."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        print("search begun", flush=True)
        time.sleep(self._seconds)
        return messages.SearchResponse(epoch=7)


def main() -> int:
    settings = parse_settings(ExampleSettings, None, "patchsearch-example")

    def warm_up() -> None:
        time.sleep(settings.warm_s)
        if settings.fail == "warm":
            raise FailedPrecondition("ENCODER_MISMATCH", "made with another encoder")
        if settings.fail == "defect":
            raise ZeroDivisionError

    if settings.linger:
        threading.Thread(target=time.sleep, args=(600,)).start()

    def body() -> int:
        if settings.fail == "open":
            raise FailedPrecondition("DATA_DIR_IN_USE", "process 12 has it")
        servicer = SlowSearchServicer(settings.search_s)
        add = stubs.add_SearchServiceServicer_to_server
        return run(
            settings,
            [Service("patchsearch.v1.SearchService", servicer, add)],
            prog="patchsearch-example",
            warm_up=warm_up,
            close=lambda: print("closed", flush=True),
        )

    return run_main("patchsearch-example", body)


if __name__ == "__main__":
    leave(main())
