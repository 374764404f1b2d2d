"""`python -m tests.chaos.cluster.rolling`: every process is restarted in turn, the load going on.

Callers know both routers. It counts the failures that they see with the retries of the client
library, and without any.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import grpc

from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from service_runtime.clients import open_channel
from tests.chaos.cluster.judge import wait_converged
from tests.chaos.cluster.load import Anchors
from tests.chaos.cluster.open_loop import OpenLoop
from tests.chaos.cluster.processes import Server
from tests.chaos.cluster.world import Shape, World, running_world
from tests.contract.doors import vector_request
from tests.contract.fake_encoder import vector_of

_SETTLE_S = 1.0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rate", type=float, default=30.0, help="searches a second")
    arguments.add_argument("--json", type=Path, default=None)
    chosen = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cluster-rolling-") as room,
        running_world(Path(room), Shape()) as world,
        ExitStack() as stack,
    ):
        list(world.router_stub(0).IngestImages(iter(Anchors(500).requests()), timeout=120))
        patient = SearchServiceStub(_channel(world, stack, attempts=4))
        plain = SearchServiceStub(_channel(world, stack, attempts=1))
        with (
            OpenLoop(lambda n: _search(patient, n), chosen.rate / 2) as with_retries,
            OpenLoop(lambda n: _search(plain, n), chosen.rate / 2) as raw,
        ):
            time.sleep(_SETTLE_S)
            restarted = 0
            for server in (*world.shards.values(), *world.routers):
                _restart(server)
                restarted += 1
                if wait_converged(world, 30) is None:
                    raise AssertionError("the replicas are not equal again")
                time.sleep(_SETTLE_S)
        found = {
            "restarted": restarted,
            "with_retries": _told(with_retries),
            "raw": _told(raw),
        }
    print(json.dumps(found, indent=2))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if with_retries.outcomes.failed else 0


def _channel(world: World, stack: ExitStack, attempts: int) -> grpc.Channel:
    addresses = ",".join(router.address for router in world.routers)
    channel = open_channel(f"ipv4:{addresses}", max_attempts=attempts)
    stack.callback(channel.close)
    return channel


def _search(stub: SearchServiceStub, number: int) -> pb.SearchResponse:
    return stub.Search(vector_request(vector_of(number), k=16), timeout=5)


def _restart(server: Server) -> None:
    status = server.stop()
    if status:
        raise AssertionError(f"{server.name} ended with {status}: {server.last_words()}")
    server.start()
    server.wait_ready()


def _told(loop: OpenLoop) -> dict[str, object]:
    outcomes = loop.outcomes
    return {
        "answered": outcomes.answered,
        "failed": dict(outcomes.failed),
        "degraded": outcomes.degraded,
        "p50_ms": round(outcomes.percentile_ms(50), 1),
        "p99_ms": round(outcomes.percentile_ms(99), 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
