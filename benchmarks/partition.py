"""What one partition does in one process: durable ingest, searches before and after sealing.

    python -m benchmarks.partition --vectors 50000 --queries 300 [--json]

Vectors are synthetic: unit rows of a low-rank mixture with noise (200 centres in 48 of 512
dimensions), 12 patches an image in a row, neighbours overlapping. Query vectors come from the same
mixture. Searches run one after the other on one thread, so their times are latencies.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shard_service.index.profiles import PROFILES
from shard_service.partition import Partition, PartitionOptions
from shard_service.partition_files import create_partition
from shard_service.search.segment_search import PartitionQuery
from shard_service.store.images import Image, PatchRows
from shard_service.store.meta import Identity

DIM = 512
PATCHES = 12
FINGERPRINT = "benchmark"


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str


class Mixture:
    """Draws unit vectors around centres in a low-rank space."""

    def __init__(self, rng: np.random.Generator, centres: int = 200, rank: int = 48) -> None:
        self._rng = rng
        self._centres = rng.standard_normal((centres, rank))
        self._basis = rng.standard_normal((rank, DIM))

    def draw(self, count: int) -> NDArray[np.float32]:
        """(count, 512) float32 unit rows."""
        chosen = self._centres[self._rng.integers(0, len(self._centres), count)]
        chosen = chosen + 0.5 * self._rng.standard_normal(chosen.shape)
        rows = chosen @ self._basis + 1.5 * self._rng.standard_normal((count, DIM))
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def photos(mixture: Mixture, start: int, count: int) -> list[tuple[Image, PatchRows]]:
    """`count` images of 12 patches that overlap their neighbours."""
    boxes = np.array([(200 * at, 500, 300, 300) for at in range(PATCHES)], np.int32)
    return [
        (
            Image(f"image-{number:09}".encode(), 1, f"s3://bucket/{number}.jpg", 3848, 2168),
            PatchRows(
                boxes,
                np.ones(PATCHES, np.uint16),
                np.zeros(PATCHES, np.float32),
                mixture.draw(PATCHES),
            ),
        )
        for number in range(start, start + count)
    ]


def ingest(
    partition: Partition, mixture: Mixture, vectors: int, batch: int, writers: int
) -> Figure:
    """Puts `vectors` patches, `batch` images a call, from `writers` threads; patches a second."""
    images = -(-vectors // PATCHES)
    work = [photos(mixture, at, min(batch, images - at)) for at in range(0, images, batch)]

    def write(share: Sequence[list[tuple[Image, PatchRows]]]) -> None:
        for one in share:
            partition.put(one, FINGERPRINT)

    threads = [threading.Thread(target=write, args=(work[at::writers],)) for at in range(writers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = images * PATCHES / (time.perf_counter() - started)
    return Figure(f"durable ingest, {writers} x {batch} images a call", rate, "patches/s")


def latencies(
    name: str, search: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32]
) -> list[Figure]:
    """The median and the 99th percentile of searching each query once, after a warm-up."""
    for query in queries[:10]:
        search(query)
    times = []
    for query in queries:
        started = time.perf_counter()
        search(query)
        times.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times, [50, 99])
    return [Figure(f"{name} p50", float(p50), "ms"), Figure(f"{name} p99", float(p99), "ms")]


def recall(partition: Partition, queries: NDArray[np.float32], k: int) -> Figure:
    """The share of the exact hits that the index finds."""
    agreed = expected = 0
    for query in queries:
        found, exact = (
            {
                (hit.image.image_id, hit.box)
                for hit in partition.search(PartitionQuery(query, k, exact=exact), FINGERPRINT).hits
            }
            for exact in (False, True)
        )
        agreed += len(found & exact)
        expected += len(exact)
    return Figure(f"recall@{k} against an exact scan", agreed / expected, "share")


def measure(arguments: argparse.Namespace, directory: Path) -> list[Figure]:
    """All figures, in order."""
    rng = np.random.default_rng(arguments.seed)
    mixture = Mixture(rng)
    options = PartitionOptions(seal_patches=1 << 62, profile=arguments.profile)
    identity = Identity("p0", 0, (1 << 64) - 1, FINGERPRINT, "benchmark", DIM)
    create_partition(directory / "p0", identity, options.map_bytes)
    partition = Partition(directory / "p0", options)
    queries = mixture.draw(arguments.queries)
    k = arguments.k

    def search(query: NDArray[np.float32]) -> object:
        return partition.search(PartitionQuery(query, k), FINGERPRINT)

    figures = [ingest(partition, mixture, arguments.vectors, 64, arguments.writers)]
    figures += latencies(f"search, growing, k={k}", search, queries)
    started = time.perf_counter()
    partition.seal()
    figures.append(Figure("sealing, codebook included", time.perf_counter() - started, "s"))
    figures += latencies(f"search, sealed ({arguments.profile}), k={k}", search, queries)
    figures.append(recall(partition, queries[:100], k))
    partition.close()
    started = time.perf_counter()
    partition = Partition(directory / "p0", options)
    figures.append(Figure("reopening, sealed", time.perf_counter() - started, "s"))
    partition.close()
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.partition", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--vectors", type=int, default=50_000, help="patches to store")
    parser.add_argument("--queries", type=int, default=300, help="searches of each kind")
    parser.add_argument("--k", type=int, default=16, help="hits asked for")
    parser.add_argument("--writers", type=int, default=4, help="threads that ingest")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="graph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="directory to work in; a temporary one if unset")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.data) as directory:
        figures = measure(arguments, Path(directory))
    if arguments.json:
        report = {
            "vectors": arguments.vectors,
            "profile": arguments.profile,
            "machine": platform.platform(),
            "figures": [asdict(figure) for figure in figures],
        }
        print(json.dumps(report, indent=2))
    else:
        print(f"{arguments.vectors} vectors of {DIM} numbers, profile {arguments.profile}\n")
        for figure in figures:
            print(f"{figure.name:<48} {figure.value:>12.3f} {figure.unit}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
