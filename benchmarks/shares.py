"""What asking partitions for their likely share of the hits saves, and what it costs in recall.

`python -m benchmarks.shares --vectors TABLE.npz` deals the photos of a table of real vectors out to
so many partitions, in process, and searches all of them for every query: for all hits of each, and
for its share of them, where a search that lacks hits then is made again for all. Recall is against
an exact search.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.router_processes import FINGERPRINT, ranges
from placement.document import hash_of
from service_runtime.logs import configure_logging
from shard_service.answers import PartitionAnswer
from shard_service.search.query import PartitionQuery
from shard_service.settings import ShardSettings
from shard_service.shard import Shard, ShardAnswer
from shard_service.store.images import Image, PatchRows
from shard_service.store.meta import Identity


def fill(shard: Shard, table: dict[str, NDArray[np.generic]], count: int) -> list[str]:
    """Deals the images of a table out to `count` partitions, one sealed segment each."""
    vectors = table["vectors"]
    names = []
    for name, start, end in ranges(count):
        shard.create(Identity(name, start, end, FINGERPRINT, "benchmark", vectors.shape[1]))
        names.append(name)
        writes = []
        for number in np.unique(table["image"]):
            image_id = f"photo-{number}.jpg"
            if not start <= hash_of(image_id) <= end:
                continue
            own = table["image"] == number
            patches = PatchRows(
                boxes=np.asarray(table["boxes"][own], np.int32),
                levels=np.ones(int(own.sum()), np.uint16),
                scores=np.full(int(own.sum()), 0.5, np.float32),
                vectors=vectors[own],
            )
            writes.append((Image(image_id.encode(), 1, width=1360, height=800), patches))
        shard.partition(name).put(writes, FINGERPRINT)
        shard.partition(name).seal()
    return names


def found(answer: ShardAnswer) -> set[tuple[bytes, tuple[int, int, int, int]]]:
    """Which patches an answer tells."""
    return {(hit.image.image_id, hit.box) for hit in answer.hits}


def measure(shard: Shard, names: Sequence[str], queries: NDArray[np.float32], k: int) -> str:
    """A line of the table."""
    patches = sum(partition.describe().patches for partition in shard.partitions())

    def search(vector: NDArray[np.float32], **more: object) -> ShardAnswer:
        query = PartitionQuery(vector, k, **more)  # type: ignore[arg-type]
        return shard.search(names, [(query, FINGERPRINT)])[0]

    def run(collection_patches: int) -> tuple[float, float, float, float]:
        recall, again, read = 0.0, 0, 0
        began = time.process_time()
        answers = []
        for vector in queries:
            answer = search(vector, collection_patches=collection_patches)
            if answer.more:
                again += 1
                answer = search(vector)
            answers.append(answer)
        took = time.process_time() - began
        for answer, exact in zip(answers, exacts, strict=True):
            recall += len(found(answer) & exact) / max(1, len(exact))
            outcomes = [outcome for _, outcome in answer.partitions]
            read += sum(o.candidates_read for o in outcomes if isinstance(o, PartitionAnswer))
        n = len(queries)
        return recall / n, again / n, read / n, took / n * 1e3

    for vector in queries[:50]:
        search(vector)
    exacts = [found(search(vector, exact=True)) for vector in queries]
    rows = [run(0), run(patches), run(0), run(patches)]
    return " | ".join(
        [f"| {len(names)}"]
        + [
            f"{recall:.4f} | {again:.3f} | {read:.0f} | {took:.2f}"
            for recall, again, read, took in rows[2:]
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shares", description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True, help="table of `bench index`")
    parser.add_argument("--profile", default="compact")
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 8, 32])
    parser.add_argument("--k", type=int, default=16)
    options = parser.parse_args(argv)
    configure_logging("warning", "console")
    with np.load(options.vectors, allow_pickle=False) as file:
        table = {name: file[name] for name in ("vectors", "boxes", "image", "query_vectors")}
    queries = np.asarray(table["query_vectors"], np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    each = "recall | asked again | candidates | cpu ms"
    print(f"| partitions | all: {each} | shares: {each} |")
    for count in options.partitions:
        with tempfile.TemporaryDirectory(prefix="patchsearch-shares-") as name:
            settings = ShardSettings.model_validate(
                {
                    "data": Path(name),
                    "profile": options.profile,
                    "seal_patches": 10**9,
                    "min_train_patches": 1000,
                }
            )
            shard = Shard(Path(name), settings.partition_options())
            shard.open()
            names = fill(shard, table, count)
            print(measure(shard, names, queries, options.k), "|", flush=True)
            shard.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
