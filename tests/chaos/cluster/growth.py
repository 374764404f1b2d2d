"""`python -m tests.chaos.cluster.growth`: a shard is added to a loaded cluster.

It says how many searches and writes failed meanwhile, whether fixed queries find the same before
and after, and how many bytes moved against the least that had to.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from patchsearch.filters import ImageIdPrefix
from patchsearch.geometry import Box
from patchsearch.shard.v1 import shard_service_pb2 as shard_pb
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.filters import filter_to_proto
from tests.chaos.cluster.history import History
from tests.chaos.cluster.judge import wait_converged
from tests.chaos.cluster.load import Anchors, Load
from tests.chaos.cluster.open_loop import OpenLoop
from tests.chaos.cluster.processes import ROOT
from tests.chaos.cluster.world import Shape, World, command, running_world
from tests.contract.doors import vector_request
from tests.contract.fake_encoder import photo, vector_of

_PATCHES = 64
_QUERIES = 200
_K = 16
_STILL = "still/"
_FLAGS = ("--min-train-patches", "4000", "--map-gb", "0.1", "--idle-s", "2")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--patches", type=int, default=200_000)
    arguments.add_argument("--rate", type=float, default=40.0, help="searches a second meanwhile")
    arguments.add_argument("--replicas", type=int, default=1)
    arguments.add_argument("--partitions", type=int, default=12)
    arguments.add_argument("--json", type=Path, default=None)
    chosen = arguments.parse_args()
    shape = Shape(3, chosen.partitions, chosen.replicas, routers=2, shard_flags=_FLAGS)
    with (
        tempfile.TemporaryDirectory(prefix="cluster-growth-") as room,
        running_world(Path(room), shape) as world,
    ):
        fill(world, chosen.patches)
        found = _grow(world, Path(room), chosen.rate)
    print(json.dumps(found, indent=2))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    good = (
        not found["failed_searches"]
        and not found["degraded_searches"]
        and not found["lost_writes"]
        and found["same_hits"] == _QUERIES
    )
    return 0 if good else 1


def fill(world: World, patches: int, *, compact: bool = True) -> None:
    """Photos of 64 patches that do not overlap."""

    def requests() -> object:
        for number in range(patches // _PATCHES):
            boxes = [
                (Box(100 * (i % 8), 100 * (i // 8), 80, 80), number * _PATCHES + i)
                for i in range(_PATCHES)
            ]
            yield pb.IngestImagesRequest(image_id=f"{_STILL}{number}", content=photo(boxes))

    for result in world.router_stub(0).IngestImages(requests(), timeout=1200):
        if result.outcome != pb.INGEST_OUTCOME_STORED:
            raise AssertionError(f"{result.image_id} was not stored: {result.error}")
    for partition in world.placement.partitions if compact else ():
        for replica in partition.replicas:
            world.shard_stub(replica.shard).CompactPartition(
                shard_pb.CompactPartitionRequest(partition_id=partition.id), timeout=600
            )


def _hits(world: World, router: int) -> list[list[tuple[str, tuple[int, ...], float]]]:
    """What the fixed queries find; only of images that nobody writes meanwhile."""
    found = []
    for number in range(_QUERIES):
        answer = world.router_stub(router).Search(_query(number), timeout=30)
        found.append(
            [(h.image_id, (h.box.x, h.box.y, h.box.w, h.box.h), h.score) for h in answer.hits]
        )
    return found


def _query(number: int) -> pb.SearchRequest:
    """Near a stored patch, so that there is something to find."""
    noise = np.random.default_rng(number).standard_normal(64).astype(np.float32)
    near = vector_of(number * 37 % 100_000) + 0.3 * noise / np.linalg.norm(noise)
    # What the writers add meanwhile is no part of the comparison.
    only = filter_to_proto(ImageIdPrefix(_STILL))
    return vector_request((near / np.linalg.norm(near)).astype(np.float32), k=_K, filter=only)


def _bytes(world: World) -> dict[str, int]:
    """Bytes of every partition, by the largest of its replicas."""
    sizes: dict[str, int] = {}
    for name in world.shards:
        told = world.shard_stub(name).DescribePartitions(
            shard_pb.DescribePartitionsRequest(), timeout=30
        )
        for one in told.partitions:
            sizes[one.partition_id] = max(sizes.get(one.partition_id, 0), one.disk_bytes)
    return sizes


def _grow(world: World, room: Path, rate: float) -> dict[str, object]:
    before = _hits(world, 0)
    sizes = _bytes(world)
    replicas = world.shape.replicas
    least = sum(sizes.values()) * replicas / (world.shape.shards + 1)
    held = {p.id: {r.shard for r in p.replicas} for p in world.placement.partitions}
    history = History(room / "ledger.jsonl")
    anchors = Anchors(0)
    stubs = [world.router_stub(i) for i in range(len(world.routers))]

    def search(number: int) -> pb.SearchResponse:
        return stubs[number % 2].Search(_query(number % _QUERIES), timeout=5)

    address = world.add_shard("shard-3")
    plan = _cluster(world, "add-shard", "shard-3", address, "--dry-run")
    with (
        OpenLoop(search, rate) as loop,
        Load(stubs, history, anchors, dict, 1, writers=2, searchers=0, pause_s=0.05),
    ):
        time.sleep(3)
        began = time.monotonic()
        done = _cluster(world, "add-shard", "shard-3", address)
        seconds = time.monotonic() - began
        time.sleep(3)
    lost = _lost(world, history)
    moved = sum(
        sizes.get(p.id, 0)
        for p in world.placement.partitions
        for r in p.replicas
        if r.shard not in held.get(p.id, set())
    )
    after = [_hits(world, i) for i in range(len(world.routers))]
    wait_converged(world, 30)
    outcomes = loop.outcomes
    return {
        "patches": sum(
            d.patches
            for name in world.shards
            for d in world.shard_stub(name)
            .DescribePartitions(shard_pb.DescribePartitionsRequest(), timeout=30)
            .partitions
        ),
        "searches": outcomes.answered,
        "failed_searches": sum(outcomes.failed.values()),
        "failures": dict(outcomes.failed),
        "degraded_searches": outcomes.degraded,
        "search_p50_ms": round(outcomes.percentile_ms(50), 1),
        "search_p99_ms": round(outcomes.percentile_ms(99), 1),
        "writes_acknowledged": history.acknowledged,
        "writes_refused": dict(history.refused),
        "lost_writes": lost,
        "same_hits": min(sum(a == b for a, b in zip(before, one, strict=True)) for one in after),
        "moved_bytes": moved,
        "least_bytes": int(least),
        "moved_over_least": round(moved / least, 3),
        "seconds": round(seconds, 1),
        "partitions_moved": sum(
            r.shard not in held.get(p.id, set())
            for p in world.placement.partitions
            for r in p.replicas
        ),
        "plan": plan,
        "command": done,
    }


def _lost(world: World, history: History) -> int:
    """Acknowledged writes that a router does not tell of now."""
    lost = 0
    for image_id in history.image_ids():
        possible = history.possible_seeds(image_id)
        listed = world.router_stub(0).ListImages(
            pb.ListImagesRequest(prefix=image_id, page_size=100), timeout=30
        )
        there = any(image.image_id == image_id for image in listed.images)
        lost += not there and None not in possible
        lost += there and possible == {None}
    return lost


def _cluster(world: World, *arguments: str) -> str:
    whole = ("cluster", *arguments, "--placement", str(world.placement_path))
    done = subprocess.run(command(*whole), cwd=ROOT, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
