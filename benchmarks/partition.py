"""A whole partition at work, in one process, on one table of vectors.

    python -m benchmarks.partition --vectors TABLE.npz [--json OUT]
    python -m benchmarks.partition --synthetic 1000000 [--profile compact]

Durable ingest of ready vectors from four writers (beside what an fsync takes), sealing, searches
with everything that a partition does (candidates, exact scores, hits with their images) idle, from
several threads, while one writer inserts, with filters, and what deleting and compacting cost.
Patches do not overlap here, so that recall compares the index and not the dedup; --overlapping
makes neighbours overlap. Recall is against an exact scan of the same partition.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from google.protobuf.struct_pb2 import Struct
from numpy.typing import NDArray

from evaluation.index_bench.synthetic import synthetic_table
from evaluation.index_bench.table import Table, load_table
from patchsearch.filters import Match
from shard_service.index.profiles import PROFILES
from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from shard_service.search.query import PartitionQuery
from shard_service.store.images import Image, PatchRows
from shard_service.store.meta import Identity

FINGERPRINT = "benchmark"
PATCHES = 16
GROUPS = 100
WRITERS = 4
BATCH = 16


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str


class Work:
    """The partition under test and its queries; every method measures one thing."""

    def __init__(self, directory: Path, table: Table, arguments: argparse.Namespace) -> None:
        self._table = table
        self._vectors = table.mapped()
        self._queries = table.queries
        self._k = arguments.k
        step = 100 if arguments.overlapping else 300
        self._boxes = np.array([(step * at, 500, 300, 300) for at in range(PATCHES)], np.int32)
        self._rounds = arguments.rounds
        # As in life: segments are sealed and merged meanwhile; only idle merges would make the
        # figures depend on how long the benchmark takes.
        options = PartitionOptions(
            profile=arguments.profile, build_threads=arguments.build_threads, idle_s=1e9
        )
        dim = self._vectors.shape[1]
        identity = Identity("p0", 0, (1 << 64) - 1, FINGERPRINT, "benchmark", dim)
        create_partition(directory / "p0", identity, options.map_bytes)
        self._directory, self._options = directory / "p0", options
        self.partition = Partition(self._directory, options)
        self._versions = 1

    def photo(self, number: int, prefix: str = "image") -> tuple[Image, PatchRows]:
        """Image `number`: 16 rows of the table, and which of 100 groups it belongs to."""
        rows = self._vectors[number * PATCHES : (number + 1) * PATCHES].astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        metadata = Struct()
        metadata.update({"group": float(number % GROUPS), "night": number % 2 == 0})
        count = len(rows)
        image = Image(
            f"{prefix}-{number:09}".encode(),
            self._versions,
            f"s3://bucket/{number}.jpg",
            5000,
            2168,
            metadata.SerializeToString(),
        )
        patches = PatchRows(
            self._boxes[:count], np.ones(count, np.uint16), np.zeros(count, np.float32), rows
        )
        return image, patches

    @property
    def images(self) -> int:
        """Images that the table makes."""
        return -(-len(self._vectors) // PATCHES)

    def ingest(self) -> list[Figure]:
        """All images, 16 a call, from four threads; records are made beforehand in each thread."""
        share = [range(at, self.images, WRITERS) for at in range(WRITERS)]

        def write(numbers: range) -> None:
            for at in range(0, len(numbers), BATCH):
                batch = [self.photo(number) for number in numbers[at : at + BATCH]]
                self.partition.put(batch, FINGERPRINT)

        took = _together([lambda part=part: write(part) for part in share])  # type: ignore[misc]
        return [
            Figure("one fsync of 4 KiB, p50", _fsync_ms(self._directory), "ms"),
            Figure(f"durable ingest, {WRITERS} writers", len(self._vectors) / took, "patches/s"),
        ]

    def compact(self) -> list[Figure]:
        """Makes one segment of what the ingest sealed."""
        segments = self.partition.describe().sealed_segments
        began = time.perf_counter()
        self.partition.compact()
        took = time.perf_counter() - began
        return [
            Figure("segments before compacting", segments, ""),
            Figure("compacting them into one", took, "s"),
        ]

    def idle(self, name: str) -> list[Figure]:
        """One query at a time on one thread, nothing else going on."""
        times = self._times(lambda query: PartitionQuery(query, self._k))
        return _percentiles(name, times)

    def threads(self, count: int) -> list[Figure]:
        """Queries from several threads against one, over the same time."""
        rates = []
        for number in (1, count):
            done = [0] * number
            until = time.perf_counter() + 3.0

            def search(place: int, done: list[int] = done, until: float = until) -> None:
                while time.perf_counter() < until:
                    query = self._queries[(done[place] * 7 + place) % len(self._queries)]
                    self.partition.search(PartitionQuery(query, self._k), FINGERPRINT)
                    done[place] += 1

            took = _together([lambda at=at: search(at) for at in range(number)])  # type: ignore[misc]
            rates.append(sum(done) / took)
        return [
            Figure("queries a second, one client thread", rates[0], "1/s"),
            Figure(f"{count} client threads against one", rates[1] / rates[0], "x"),
        ]

    def while_inserting(self) -> list[Figure]:
        """Searches while one writer adds images without a pause."""
        return self._while_writing("inserts", "new")

    def while_replacing(self) -> list[Figure]:
        """Searches while one writer replaces images without a pause."""
        self._versions += 1
        return self._while_writing("replaces", "image")

    def _while_writing(self, what: str, prefix: str) -> list[Figure]:
        stop = threading.Event()
        written = [0]
        rng = np.random.default_rng(1)
        # Made beforehand: in life other processes do that.
        photos = [self.photo(int(at), prefix) for at in rng.permutation(self.images)[:5000]]

        def write() -> None:
            for photo in photos:
                if stop.is_set():
                    break
                self.partition.put([photo], FINGERPRINT)
                written[0] += PATCHES

        writer = threading.Thread(target=write)
        writer.start()
        began = time.perf_counter()
        times = self._times(lambda query: PartitionQuery(query, self._k))
        stop.set()
        writer.join()
        rate = written[0] / (time.perf_counter() - began)
        # The same rows, more of which are searched exactly now, and nobody who writes.
        idle = self._times(lambda query: PartitionQuery(query, self._k))
        return [
            *_percentiles(f"search while one writer {what}", times),
            *_percentiles("the same when it has stopped", idle),
            Figure("what that writer writes meanwhile", rate, "patches/s"),
        ]

    def filtered(self) -> list[Figure]:
        """Filters that keep 50 %, 10 % and 1 % of the images: recall and times."""
        figures = []
        for share, wanted in (
            ("50 %", Match("night", (True,))),
            ("10 %", Match("group", tuple(float(at) for at in range(0, GROUPS, 10)))),
            ("1 %", Match("group", (7.0,))),
        ):
            times = self._times(lambda query, f=wanted: PartitionQuery(query, self._k, filter=f))  # type: ignore[misc]
            figures += _percentiles(f"search, a filter keeps {share}", times)
            figures.append(
                Figure(f"recall@{self._k}, a filter keeps {share}", self.recall(wanted), "share")
            )
        return figures

    def delete_and_compact(self) -> list[Figure]:
        """Deletes every tenth image and compacts; recall before, between and after."""
        figures = [Figure(f"recall@{self._k} against an exact scan", self.recall(), "share")]
        ids = [f"image-{number:09}" for number in range(0, self.images, 10)]
        for at in range(0, len(ids), 1000):
            self.partition.delete(ids[at : at + 1000], self._versions + 1)
        figures.append(Figure("recall with 10 % deleted", self.recall(), "share"))
        began = time.perf_counter()
        self.partition.compact()
        figures.append(Figure("compacting", time.perf_counter() - began, "s"))
        figures.append(Figure("recall when compacted", self.recall(), "share"))
        return figures

    def reopen(self) -> list[Figure]:
        """Closing, and opening again until it answers."""
        self.partition.close()
        began = time.perf_counter()
        self.partition = Partition(self._directory, self._options)
        self.partition.search(PartitionQuery(self._queries[0], self._k), FINGERPRINT)
        opened = time.perf_counter() - began
        times = []
        for query in self._queries[1:]:
            began = time.perf_counter()
            self.partition.search(PartitionQuery(query, self._k), FINGERPRINT)
            times.append(1000 * (time.perf_counter() - began))
        return [
            Figure("opening again, first answer included", opened, "s"),
            # No image of a hit is in memory yet.
            *_percentiles("search after that, each query once", times),
        ]

    def recall(self, filter: Match | None = None) -> float:
        """The share of the exact hits that the index finds."""
        agreed = expected = 0
        for query in self._queries[:200]:
            found, exact = (
                {
                    (hit.image.image_id, hit.box)
                    for hit in self.partition.search(
                        PartitionQuery(query, self._k, exact=exact, filter=filter), FINGERPRINT
                    ).hits
                }
                for exact in (False, True)
            )
            agreed += len(found & exact)
            expected += len(exact)
        return agreed / max(expected, 1)

    def _times(self, asked: Callable[[NDArray[np.float32]], PartitionQuery]) -> list[float]:
        for query in self._queries[:50]:
            self.partition.search(asked(query), FINGERPRINT)
        times = []
        for _ in range(self._rounds):
            for query in self._queries:
                began = time.perf_counter()
                self.partition.search(asked(query), FINGERPRINT)
                times.append(1000 * (time.perf_counter() - began))
        return times


def _percentiles(name: str, times: Sequence[float]) -> list[Figure]:
    p50, p99 = np.percentile(times, [50, 99])
    return [Figure(f"{name}, p50", float(p50), "ms"), Figure(f"{name}, p99", float(p99), "ms")]


def _together(work: Sequence[Callable[[], None]]) -> float:
    threads = [threading.Thread(target=one) for one in work]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _fsync_ms(directory: Path) -> float:
    times = []
    with (directory / "fsync").open("wb") as file:
        for _ in range(100):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(1000 * (time.perf_counter() - began))
    (directory / "fsync").unlink()
    return float(np.median(times))


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.partition", description=__doc__.split("\n")[0]
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--vectors", type=Path, help="a table of vectors (.npz)")
    source.add_argument("--synthetic", type=int, default=50_000, help="vectors to generate")
    parser.add_argument("--queries", type=int, default=300, help="queries of each kind")
    parser.add_argument("--rounds", type=int, default=3, help="times that each query is asked")
    parser.add_argument("--k", type=int, default=16, help="hits asked for")
    parser.add_argument("--threads", type=int, default=4, help="client threads that search at once")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="graph")
    parser.add_argument("--build-threads", type=int, default=1, help="threads that build")
    parser.add_argument("--overlapping", action="store_true", help="neighbouring patches overlap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="directory to work in; a temporary one if unset")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args(argv)
    # As the shard's program sets it.
    sys.setswitchinterval(0.0001)
    with tempfile.TemporaryDirectory(dir=arguments.data) as name:
        directory = Path(name)
        if arguments.vectors is not None:
            table = load_table(arguments.vectors, directory, arguments.queries)
        else:
            table = synthetic_table(
                arguments.synthetic, 512, arguments.queries, arguments.seed, directory
            )
        work = Work(directory, table, arguments)
        print(f"{table.name}, profile {arguments.profile}\n")
        figures: list[Figure] = []
        for step in (
            work.ingest,
            work.compact,
            lambda: work.idle("search, idle"),
            lambda: work.threads(arguments.threads),
            work.filtered,
            work.while_replacing,
            work.compact,
            work.delete_and_compact,
            work.while_inserting,
            work.reopen,
        ):
            for figure in step():
                print(f"{figure.name:<48} {figure.value:>12.4f} {figure.unit}", flush=True)
                figures.append(figure)
        work.partition.close()
    if arguments.json:
        report = {
            "table": table.name,
            "profile": arguments.profile,
            "machine": platform.platform(),
            "figures": [asdict(figure) for figure in figures],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
