"""`python -m tests.chaos.cluster.paused`: searches while shards of a cluster are stopped.

With `--stopped 2` some partitions have no replica that answers: then it is about the deadline.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from patchsearch.v1 import search_service_pb2 as pb
from tests.chaos.cluster.growth import fill
from tests.chaos.cluster.open_loop import OpenLoop
from tests.chaos.cluster.world import Shape, World, running_world
from tests.contract.doors import vector_request
from tests.contract.fake_encoder import vector_of


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--patches", type=int, default=50_000)
    arguments.add_argument("--rate", type=float, default=50.0, help="searches a second")
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--stopped", type=int, default=1, help="shards, of three")
    arguments.add_argument("--deadline-s", type=float, default=5.0)
    arguments.add_argument("--json", type=Path, default=None)
    chosen = arguments.parse_args()
    rounds = []
    with (
        tempfile.TemporaryDirectory(prefix="cluster-paused-") as room,
        running_world(Path(room), Shape(router_flags=("--metrics-port", "0"))) as world,
    ):
        fill(world, chosen.patches, compact=False)
        for number in range(chosen.rounds):
            healthy = _measured(world, chosen.rate, chosen.seconds, chosen.deadline_s)
            shards = list(world.shards.values())
            stopped = [shards[(number + i) % len(shards)] for i in range(chosen.stopped)]
            for shard in stopped:
                shard.send(signal.SIGSTOP)
            try:
                paused = _measured(world, chosen.rate, chosen.seconds, chosen.deadline_s)
            finally:
                for shard in stopped:
                    shard.send(signal.SIGCONT)
            time.sleep(2)
            rounds.append({"healthy": healthy, "paused": paused})
            print(json.dumps(rounds[-1]), flush=True)
        calls = _shard_calls(Path(room) / "router-0.ready")
        print(json.dumps({"shard_calls": calls, "hedges": calls["hedge"] / calls["first"]}))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rounds, indent=2) + "\n")
    return 0


def _shard_calls(ready: Path) -> dict[str, float]:
    """Reads of shards by kind, as a router's metrics have them."""
    port = json.loads(ready.read_text())["metrics_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        sample.labels["kind"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "patchsearch_router_shard_calls_total"
    }


def _measured(world: World, rate: float, seconds: float, deadline_s: float) -> dict[str, object]:
    stub = world.router_stub(0)
    over_ms: list[float] = []

    def search(number: int) -> pb.SearchResponse:
        began = time.monotonic()
        try:
            return stub.Search(vector_request(vector_of(number), k=16), timeout=deadline_s)
        finally:
            over_ms.append((time.monotonic() - began - deadline_s) * 1e3)

    with OpenLoop(search, rate) as loop:
        time.sleep(seconds)
    outcomes = loop.outcomes
    return {
        "answered": outcomes.answered,
        "failed": dict(outcomes.failed),
        "degraded": outcomes.degraded,
        "p50_ms": round(outcomes.percentile_ms(50), 1),
        "p99_ms": round(outcomes.percentile_ms(99), 1),
        "p999_ms": round(outcomes.percentile_ms(99.9), 1),
        "over_deadline_p999_ms": round(float(np.percentile(over_ms, 99.9)), 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
