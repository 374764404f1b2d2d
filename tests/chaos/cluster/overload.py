"""`python -m tests.chaos.cluster.overload`: ten times as many searches as the cluster can answer.

It says how many are answered in time then, against the most that are answered at all, how much
memory the router takes, and how soon all is well once the rush is over. A call is a batch of
searches: who sends and who answers share this machine, and sending must not be what it is about.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc

from patchsearch import Client, Query, SearchResult, VectorTerm
from patchsearch.errors import PatchsearchError
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.wire.status import error_from_status
from service_runtime.clients import open_channel
from tests.chaos.cluster.growth import fill
from tests.chaos.cluster.open_loop import OpenLoop
from tests.chaos.cluster.world import Shape, running_world
from tests.contract.doors import vector_request
from tests.contract.fake_encoder import FINGERPRINT, vector_of

Search = Callable[[int], pb.SearchResponse | SearchResult]
_THREADS = 16


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--patches", type=int, default=200_000)
    arguments.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    arguments.add_argument("--batch", type=int, default=24, help="searches of a call")
    arguments.add_argument("--deadline-s", type=float, default=4.0, help="of each call")
    arguments.add_argument("--times", type=float, default=10.0, help="the capacity")
    arguments.add_argument(
        "--joint", action="store_true", help="searches that shards are asked for together"
    )
    arguments.add_argument(
        "--client",
        action="store_true",
        help="send with the client library, which holds calls back, instead of a bare channel",
    )
    arguments.add_argument("--json", type=Path, default=None)
    chosen = arguments.parse_args()
    flags = ("--map-gb", "0.1", "--profile", "exact")
    shape = Shape(3, 3, 1, routers=1, shard_flags=flags)
    with (
        tempfile.TemporaryDirectory(prefix="cluster-overload-") as room,
        running_world(Path(room), shape) as world,
        open_channel(world.routers[0].address, max_attempts=1) as channel,
        Client(world.routers[0].address, timeout_s=chosen.deadline_s) as client,
    ):
        fill(world, chosen.patches, compact=False)
        exact = not chosen.joint
        search: Search = partial(
            _search, SearchServiceStub(channel), chosen.batch, exact, chosen.deadline_s
        )
        if chosen.client:
            search = partial(_client_search, client, chosen.batch, exact)
        idle_ms = _alone(search, 50)
        capacity = _closed_loop(search, chosen.seconds)
        pid = world.routers[0].pid
        before_mb = _resident_mb(pid)
        with (
            _PeakMemory(pid) as memory,
            OpenLoop(search, capacity * chosen.times, threads=400) as loop,
        ):
            time.sleep(chosen.seconds)
        began = time.monotonic()
        while _alone(search, 5) > 2 * idle_ms and time.monotonic() - began < 30:
            pass
        recovered_s = time.monotonic() - began
    in_time = sum(s <= chosen.deadline_s + 0.02 for s in loop.outcomes.seconds)
    goodput = in_time / chosen.seconds
    found = {
        "capacity_per_s": round(capacity, 1),
        "offered_per_s": round(capacity * chosen.times, 1),
        "goodput_per_s": round(goodput, 1),
        "goodput_share": round(goodput / capacity, 3),
        "degraded": loop.outcomes.degraded,
        "failed": dict(loop.outcomes.failed),
        "router_mb": [before_mb, memory.peak_mb],
        "idle_ms": round(idle_ms, 1),
        "recovered_s": round(recovered_s, 2),
    }
    print(json.dumps(found, indent=2))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _search(
    stub: SearchServiceStub, batch: int, exact: bool, deadline_s: float, number: int
) -> pb.SearchResponse:
    """The first answer; raises grpc.RpcError, or PatchsearchError if one search has none."""
    request = pb.BatchSearchRequest(
        requests=[
            vector_request(vector_of(number * batch + at), k=16, exact=exact) for at in range(batch)
        ]
    )
    results = stub.BatchSearch(request, timeout=deadline_s).results
    for result in results:
        if result.HasField("error"):
            raise error_from_status(result.error)
    return results[0].response


def _client_search(client: Client, batch: int, exact: bool, number: int) -> SearchResult:
    """As `_search`, by the client library."""
    terms = [VectorTerm(vector_of(number * batch + at), FINGERPRINT) for at in range(batch)]
    if batch == 1:
        return client.search(*terms, k=16, exact=exact)
    results = client.batch_search(Query((term,), k=16, exact=exact) for term in terms)
    for result in results:
        if isinstance(result, PatchsearchError):
            raise result
    return results[0]  # type: ignore[return-value]


def _alone(search: Search, times: int) -> float:
    """Milliseconds of a call when there is no other, at the median."""
    taken = []
    for number in range(times):
        began = time.monotonic()
        try:
            search(number)
        except (grpc.RpcError, PatchsearchError):
            pass
        taken.append((time.monotonic() - began) * 1e3)
    return sorted(taken)[len(taken) // 2]


def _closed_loop(search: Search, seconds: float) -> float:
    """Answers a second to callers that wait for one before they ask for the next."""
    ends = time.monotonic() + seconds

    def work(number: int) -> int:
        done = 0
        while time.monotonic() < ends:
            try:
                search(number * 1_000_000 + done)
            except (grpc.RpcError, PatchsearchError):
                continue
            done += 1
        return done

    with ThreadPoolExecutor(_THREADS) as pool:
        return sum(pool.map(work, range(_THREADS))) / seconds


def _resident_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


class _PeakMemory:
    """The most memory that a process has while this is entered."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.peak_mb = max(self.peak_mb, _resident_mb(self._pid))


if __name__ == "__main__":
    raise SystemExit(main())
