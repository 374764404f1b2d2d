"""A fourth shard for three that hold 200 000 patches, while images are written and searched.

    python -m tests.cluster.add_shard_under_load [--patches N] [--partitions N] [--replicas N]

Real processes on loopback. Prints one JSON object: searches and writes during the command with
their failures, hits of 200 fixed queries before and after, bytes moved beside the least that can
be, and seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from cluster.founding import EncoderIdentity, found_cluster
from cluster.operator import Operator
from cluster.shards import connect_shards
from placement.changes import initial_placement
from placement.file_store import FilePlacementStore
from tests.cluster import placed_client
from tests.cluster.shard_processes import shard_process

PATCHES_PER_IMAGE = 16
BATCH = 50
QUERIES = 200
DIM = 512


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--patches", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--replicas", type=int, default=1)
    options = parser.parse_args()
    placed_client.DIM = DIM
    placed_client.ENCODER = EncoderIdentity("generated", "f" * 32, DIM)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = {
            name: stack.enter_context(shard_process(folder / name, map_gb=2))
            for name in (f"shard-{i}" for i in range(4))
        }
        path = folder / "placement.json"
        store, shards = FilePlacementStore(path), connect_shards()
        stack.callback(shards.close)
        first = {name: addresses[name] for name in list(addresses)[:3]}
        placement = initial_placement(
            first, partitions=options.partitions, replicas=options.replicas
        )
        found_cluster(store, shards, placement, placed_client.ENCODER, lambda event: None)
        client = placed_client.PlacedClient(path)
        stack.callback(client.close)
        started = time.monotonic()
        images = options.patches // PATCHES_PER_IMAGE
        client.fill([f"image-{i}" for i in range(images)], PATCHES_PER_IMAGE, BATCH)
        print(f"filled in {time.monotonic() - started:.0f} s", file=sys.stderr)
        print(json.dumps(measured(path, addresses["shard-3"], client, Operator(store, shards))))


def measured(
    path: Path, address: str, client: placed_client.PlacedClient, operator: Operator
) -> dict[str, object]:
    queries = placed_client.units(QUERIES, seed=9)

    def answers() -> list[list[tuple[float, str, int]]]:
        return [client.search(query) for query in queries]

    while any(h.activity for f in operator.survey().shards.values() for h in f.held.values()):
        time.sleep(1)
    before = answers()
    survey = operator.survey()
    copies = sum(h.disk_bytes for found in survey.shards.values() for h in found.held.values())
    stop, failures, counts = threading.Event(), [], {"searches": 0, "writes": 0}
    waits: list[float] = []

    def guarded(kind: str, work: Callable[[int], None]) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            began = time.monotonic()
            try:
                work(number)
            except Exception as error:
                failures.append(f"{kind}: {error}")
            if kind == "searches":
                waits.append(time.monotonic() - began)
            counts[kind] += 1

    def write(number: int) -> None:
        # All of one look, which none of the queries asks for: their answers stay what they are.
        client.put([f"live-{number}"], PATCHES_PER_IMAGE, seed=1)

    def search(number: int) -> None:
        client.search(queries[number % QUERIES])

    threads = [
        threading.Thread(target=guarded, args=one)
        for one in (("searches", search), ("writes", write))
    ]
    for thread in threads:
        thread.start()
    time.sleep(2)
    started = time.monotonic()
    command = [sys.executable, "-m", "patchsearch", "cluster", "add-shard", "shard-3", address]
    done = subprocess.run(
        [*command, "--placement", str(path), "--json"], capture_output=True, text=True
    )
    wall_s = time.monotonic() - started
    stop.set()
    for thread in threads:
        thread.join()
    if done.returncode:
        raise RuntimeError(done.stderr)
    told = json.loads(done.stdout)
    after = answers()
    differing = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    for a, b in differing[:2]:
        print("before", a, "after", b, sep="\n", file=sys.stderr)
    held: dict[str, int] = {}
    for partition in operator.survey().placement.partitions:
        for replica in partition.replicas:
            found = client.image_ids(replica.shard, partition.id)
            held.update(found)
    lost = {i for i, version in client.acknowledged.items() if held.get(i, 0) < version}
    return {
        "command_s": round(wall_s, 2),
        "operation_s": told["outcome"]["seconds"],
        "partitions_moved": len(told["plan"]["members"]),
        "copied_bytes": told["outcome"]["copied_bytes"],
        "least_bytes": copies // 4,
        "copied_to_least": round(told["outcome"]["copied_bytes"] / (copies / 4), 3),
        **counts,
        "search_p50_ms": round(1e3 * float(np.percentile(waits, 50)), 1),
        "search_p99_ms": round(1e3 * float(np.percentile(waits, 99)), 1),
        "failures": failures[:5],
        "failed": len(failures),
        "lost_writes": len(lost),
        "queries_with_other_hits": len(differing),
    }


if __name__ == "__main__":
    main()
