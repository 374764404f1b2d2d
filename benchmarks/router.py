"""What a cluster adds to a search: a raw vector through a router and shards, against one partition
with the same patches searched in process.

`python -m benchmarks.router --shards 1 4 8` builds a partition of random clustered vectors, deals
the same images out to so many shards, serves those and a router in processes of their own over
loopback, and searches both in turns, so that whatever else the machine does meets both. The encoder
is only asked who it is. The processor time of all shards together is told too. With `--batch N` so
many searches are one call, and all times are told by search: that of the call divided by N.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.router_processes import DIM, FINGERPRINT, RunningCluster, cluster, ranges
from patchsearch.v1 import search_service_pb2
from patchsearch.wire.vectors import vector_to_proto
from placement.document import hash_of
from service_runtime.logs import configure_logging
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from shard_service.store.images import Image, PatchRows
from shard_service.store.meta import Identity

PATCHES_AN_IMAGE = 25
WARM_UP = 30


@dataclass(frozen=True)
class Figures:
    """Milliseconds of one way to search, over all rounds."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Result:
    """What was measured, and on what."""

    shards: int
    patches: int
    k: int
    searches: int
    batch: int
    in_process: Figures
    through_router: Figures
    added_p50_ms: float
    """Median over rounds of the difference between the rounds' medians."""
    ratio_p50: float
    router_total_p50_ms: float
    """As the router's own clock tells it."""
    router_fan_out_p50_ms: float
    shards_cpu_ms: float
    """Processor time of all shards together, a search."""


def clustered(count: int, seed: int) -> NDArray[np.float32]:
    """(count, DIM) float32 unit rows around a few hundred centres, as embeddings lie."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((256, DIM), dtype=np.float32)
    rows = centres[draw.integers(0, len(centres), count)]
    rows = rows + 0.7 * draw.standard_normal((count, DIM), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def build(data: Path, patches: int, profile: str, partition: tuple[str, int, int]) -> None:
    """Fills a shard's data directory with the images of one hash range, in one segment."""
    name, start_hash, end_hash = partition
    shard = _open_shard(data, profile)
    shard.create(Identity(name, start_hash, end_hash, FINGERPRINT, "benchmark", DIM))
    for start in range(0, patches, 100 * PATCHES_AN_IMAGE):
        count = min(100, (patches - start + PATCHES_AN_IMAGE - 1) // PATCHES_AN_IMAGE)
        vectors = clustered(count * PATCHES_AN_IMAGE, start + 1)
        writes = [
            (_image(start // PATCHES_AN_IMAGE + i), _patches(vectors, i)) for i in range(count)
        ]
        own = [
            write
            for write in writes
            if start_hash <= hash_of(write[0].image_id.decode()) <= end_hash
        ]
        if own:
            shard.partition(name).put(own, FINGERPRINT)
    if profile != "exact":
        shard.partition(name).seal()
    shard.close()


def _open_shard(data: Path, profile: str) -> Shard:
    settings = ShardSettings.model_validate(
        {"data": data, "profile": profile, "seal_patches": 10**9, "min_train_patches": 1000}
    )
    shard = Shard(data, settings.partition_options())
    shard.open()
    return shard


def _image(number: int) -> Image:
    metadata = search_service_pb2.Image().metadata
    metadata.update({"camera": "front", "frame": number})
    return Image(
        image_id=f"drive-7/front/{number:06}.jpg".encode(),
        version=number + 1,
        uri=f"file:///archive/drive-7/front/{number:06}.jpg",
        width=3848,
        height=2168,
        metadata=metadata.SerializeToString(deterministic=True),
        digest=bytes(32),
        selection="multisize-filtered/spectral-residual",
    )


def _patches(vectors: NDArray[np.float32], image: int) -> PatchRows:
    own = vectors[image * PATCHES_AN_IMAGE : (image + 1) * PATCHES_AN_IMAGE]
    places = np.arange(PATCHES_AN_IMAGE)
    boxes = np.stack(
        [places % 5 * 500, places // 5 * 400, *np.full((2, PATCHES_AN_IMAGE), 448)], axis=1
    )
    return PatchRows(
        boxes=boxes.astype(np.int32),
        levels=np.ones(PATCHES_AN_IMAGE, np.uint16),
        scores=np.full(PATCHES_AN_IMAGE, 0.5, np.float32),
        vectors=own,
    )


def measure(
    partition: Partition,
    there: RunningCluster,
    patches: int,
    k: int,
    rounds: int,
    searches: int,
    batch: int,
) -> Result:
    """Searches both in turns; `rounds` times `searches` each, `batch` of them in one call."""
    queries = clustered(searches, 10**6)
    requests = []
    for query in queries:
        request = search_service_pb2.SearchRequest(k=k)
        request.terms.add(vector=vector_to_proto(query, FINGERPRINT))
        requests.append(request)
    own_clock: list[tuple[float, float]] = []

    def in_process(start: int) -> None:
        for query in queries[start : start + batch]:
            partition.search(PartitionQuery(vector=query, k=k), FINGERPRINT)

    def through_router(start: int) -> None:
        if batch == 1:
            answers = [there.stub.Search(requests[start], timeout=30)]
        else:
            together = search_service_pb2.BatchSearchRequest(
                requests=requests[start : start + batch]
            )
            results = there.stub.BatchSearch(together, timeout=30).results
            answers = [result.response for result in results]
        for answer in answers:
            own_clock.append((answer.timings.total_ms, answer.timings.fan_out_ms))

    for index in range(0, min(max(WARM_UP, 3 * batch), searches), batch):
        in_process(index)
        through_router(index)
    own_clock.clear()
    cpu_before = there.shards_cpu_s()
    direct = [_timed(in_process, searches, batch)]
    routed = [_timed(through_router, searches, batch)]
    for _ in range(rounds - 1):
        direct.append(_timed(in_process, searches, batch))
        routed.append(_timed(through_router, searches, batch))
    differences = [
        np.median(far) - np.median(near) for near, far in zip(direct, routed, strict=True)
    ]
    cpu_s = there.shards_cpu_s() - cpu_before
    near, far = _figures(direct), _figures(routed)
    clock = np.array(own_clock)
    return Result(
        shards=len(there.shard_pids),
        patches=patches,
        k=k,
        searches=rounds * searches,
        batch=batch,
        in_process=near,
        through_router=far,
        added_p50_ms=float(np.median(differences)),
        ratio_p50=far.p50_ms / near.p50_ms,
        router_total_p50_ms=float(np.median(clock[:, 0])),
        router_fan_out_p50_ms=float(np.median(clock[:, 1])),
        shards_cpu_ms=cpu_s * 1e3 / (rounds * searches),
    )


def _timed(search: Callable[[int], None], count: int, batch: int) -> NDArray[np.float64]:
    """Milliseconds a search, of each call."""
    took = []
    for start in range(0, count, batch):
        began = time.perf_counter()
        search(start)
        took.append((time.perf_counter() - began) * 1e3 / min(batch, count - start))
    return np.array(took)


def _figures(rounds: Sequence[NDArray[np.float64]]) -> Figures:
    every = np.concatenate(rounds)
    return Figures(float(np.percentile(every, 50)), float(np.percentile(every, 99)))


def table(result: Result) -> str:
    """The result for people."""
    there = f"router + {result.shards}"
    rows = [("in process", result.in_process), (there, result.through_router)]
    lines = [
        f"{result.patches} patches of {DIM} numbers, k {result.k}, "
        f"{result.searches} searches each, {result.batch} a call",
        f"{'':<16}{'p50 ms':>10}{'p99 ms':>10}",
        *(f"{name:<16}{f.p50_ms:>10.2f}{f.p99_ms:>10.2f}" for name, f in rows),
        f"added at p50: {result.added_p50_ms:.2f} ms (ratio {result.ratio_p50:.2f})",
        f"router's own clock at p50: {result.router_total_p50_ms:.2f} ms, "
        f"of which at the shards {result.router_fan_out_p50_ms:.2f} ms",
        f"processor time of all shards: {result.shards_cpu_ms:.2f} ms a search",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument("--patches", type=int, default=20_000, help="patches in the partition")
    parser.add_argument("--profile", default="graph", help="index profile, or exact")
    parser.add_argument("--shards", type=int, nargs="+", default=[1], help="one after the other")
    parser.add_argument("--k", type=int, default=16, help="hits of a search")
    parser.add_argument("--rounds", type=int, default=5, help="turns that the two ways take")
    parser.add_argument("--searches", type=int, default=200, help="searches of a turn")
    parser.add_argument("--batch", type=int, default=1, help="searches of one call")
    parser.add_argument("--json", type=Path, help="write the result there too")
    options = parser.parse_args(argv)
    configure_logging("warning", "console")
    results = []
    with tempfile.TemporaryDirectory(prefix="patchsearch-router-") as name:
        directory = Path(name)
        (whole,) = ranges(1)
        build(directory / "here", options.patches, options.profile, whole)
        shard = _open_shard(directory / "here", options.profile)
        try:
            for count in options.shards:
                data = [directory / f"there-{count}-{i}" for i in range(count)]
                for path, own in zip(data, ranges(count), strict=True):
                    build(path, options.patches, options.profile, own)
                with cluster(directory, data, "--recall-share", "0") as there:
                    result = measure(
                        shard.partition(whole[0]),
                        there,
                        options.patches,
                        options.k,
                        options.rounds,
                        options.searches,
                        options.batch,
                    )
                print(table(result), flush=True)
                results.append(result)
        finally:
            shard.close()
    if options.json is not None:
        told = [asdict(result) for result in results]
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
