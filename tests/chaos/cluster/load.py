"""The load: writers of their own images, and searchers that check every answer."""

from __future__ import annotations

import itertools
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np

from patchsearch.errors import PatchsearchError
from patchsearch.filters import ImageIdPrefix
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.v1.types_pb2 import WRITE_CONSISTENCY_ONE, WRITE_CONSISTENCY_QUORUM
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.status import error_from_rpc, error_from_status
from patchsearch.wire.vectors import box_from_proto
from tests.chaos.cluster.history import PATCHES, History, Write, patches_of, photo_of
from tests.contract.doors import vector_request
from tests.contract.fake_encoder import photo, vector_of
from tests.contract.oracle import Oracle

K = 16
SEARCH_DEADLINE_S = 2.0
WRITE_DEADLINE_S = 5.0
LATE_S = 0.02
_TOLERANCE = 1e-3
_CONSISTENCIES = (WRITE_CONSISTENCY_ONE, WRITE_CONSISTENCY_QUORUM)
ANCHORS = "anchor/"
_FIRST_ANCHOR_SEED = 10_000_000
_LARGE = "large-"
_LARGE_BYTES = 60_000


@dataclass
class Findings:
    """What the load saw. Thread-safe."""

    searches: int = 0
    degraded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    late: int = 0
    """Calls that came back more than 20 ms after their deadline."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, what: str) -> None:
        with self.lock:
            getattr(self, kind).append(what)


class Anchors:
    """Images that are written once, before anything fails, and never again: the certain part."""

    def __init__(self, count: int) -> None:
        self.ids = [f"{ANCHORS}{i}" for i in range(count)]
        self._photos = {i: photo_of(i, self.seed_of(i)) for i in self.ids}

    def seed_of(self, image_id: str) -> int:
        """What is in an anchor."""
        return _FIRST_ANCHOR_SEED + int(image_id.removeprefix(ANCHORS))

    def requests(self) -> list[pb.IngestImagesRequest]:
        """The messages that store them."""
        return [
            pb.IngestImagesRequest(image_id=i, content=photo(patches_of(self.seed_of(i))))
            for i in self.ids
        ]

    def oracle(self, held: Callable[[str], bool]) -> Oracle:
        """Over the anchors for which `held` says yes."""
        oracle = Oracle()
        for image_id, stored in self._photos.items():
            if held(image_id):
                oracle.put(stored)
        return oracle


class Load:
    """Threads that work until they are told to stop."""

    def __init__(
        self,
        stubs: Sequence[SearchServiceStub],
        history: History,
        anchors: Anchors,
        partitions_of: Callable[[], dict[str, str]],
        seed: int,
        *,
        large_writes: threading.Event | None = None,
        writers: int = 2,
        searchers: int = 2,
        images: int = 40,
        pause_s: float = 0.01,
    ) -> None:
        """`partitions_of` tells the partition of every anchor now; while `large_writes` is set, new
        images with much metadata are written."""
        self.findings = Findings()
        self._stubs = stubs
        self._history = history
        self._anchors = anchors
        self._partitions_of = partitions_of
        self._seed = seed
        self._large_writes = large_writes or threading.Event()
        self._images = images
        self._pause_s = pause_s
        self._seeds = itertools.count(1)
        self._stop = threading.Event()
        loops = [lambda n=n: self._write(n) for n in range(writers)]  # type: ignore[misc]
        loops += [lambda n=n: self._search(n) for n in range(searchers)]  # type: ignore[misc]
        self._threads = [threading.Thread(target=self._run, args=(loop,)) for loop in loops]
        self._whole = anchors.oracle(lambda _: True)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            self.findings.add("defects", "".join(traceback.format_exception(error)))

    def _write(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/writer/{number}")
        while not self._stop.is_set():
            large = self._large_writes.is_set()
            router = chance.randrange(len(self._stubs))
            deletes = chance.random() < 0.2 and not large
            seed = None if deletes else next(self._seeds)
            name = f"{_LARGE}{seed}" if large else str(chance.randrange(self._images))
            image_id = f"moving/{number}/{name}"
            write = Write(image_id, seed, router)
            self._history.intend(write)
            try:
                self._do(write, chance.choice(_CONSISTENCIES))
            except grpc.RpcError as error:
                self._history.refuse(write, error_from_rpc(error))
            except PatchsearchError as error:
                self._history.refuse(write, error)
            else:
                self._history.acknowledge(write)
            self._stop.wait(self._pause_s)

    def _do(self, write: Write, consistency: int) -> None:
        stub = self._stubs[write.router]
        if write.seed is None:
            request = pb.DeleteImagesRequest(image_ids=[write.image_id], consistency=consistency)
            stub.DeleteImages(request, timeout=WRITE_DEADLINE_S)
            return
        content = photo(patches_of(write.seed))
        image = pb.IngestImagesRequest(
            image_id=write.image_id, content=content, consistency=consistency
        )
        if _LARGE in write.image_id:
            image.metadata["text"] = "x" * _LARGE_BYTES
        (result,) = stub.IngestImages(iter([image]), timeout=WRITE_DEADLINE_S)
        if result.outcome == pb.INGEST_OUTCOME_FAILED:
            raise error_from_status(result.error)

    def _search(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/searcher/{number}")
        while not self._stop.is_set():
            router = chance.randrange(len(self._stubs))
            if chance.random() < 0.5:
                self._search_anchors(self._stubs[router], chance)
            else:
                self._search_all(self._stubs[router], chance)
            self._stop.wait(self._pause_s)

    def _asked(
        self, stub: SearchServiceStub, request: pb.SearchRequest, chance: random.Random
    ) -> pb.SearchResponse | None:
        """The answer to a search, half of the times as the second of a batch."""
        began = time.monotonic()
        answer = None
        failure = ""
        try:
            if chance.random() < 0.5:
                answer = stub.Search(request, timeout=SEARCH_DEADLINE_S)
            else:
                batch = pb.BatchSearchRequest(requests=[request, request])
                result = stub.BatchSearch(batch, timeout=SEARCH_DEADLINE_S).results[1]
                if result.HasField("error"):
                    raise error_from_status(result.error)
                answer = result.response
        except grpc.RpcError as error:
            told = error_from_rpc(error)
            failure = f"{told.code}/{told.reason}"
        except PatchsearchError as error:
            failure = f"{error.code}/{error.reason}"
        seconds = time.monotonic() - began
        with self.findings.lock:
            self.findings.searches += 1
            self.findings.seconds.append(seconds)
            self.findings.late += seconds > SEARCH_DEADLINE_S + LATE_S
            if answer is None:
                self.findings.failed[failure] += 1
            else:
                self.findings.degraded += answer.coverage.degraded
        return answer

    def _search_anchors(self, stub: SearchServiceStub, chance: random.Random) -> None:
        query = vector_of(chance.randrange(1 << 30))
        only_anchors = filter_to_proto(ImageIdPrefix(ANCHORS))
        before = self._partitions_of()
        answer = self._asked(
            stub, vector_request(query, k=K, exact=True, filter=only_anchors), chance
        )
        if answer is None:
            return
        found = [(hit.image_id, box_from_proto(hit.box), hit.score) for hit in answer.hits]
        coverage = answer.coverage
        whole = coverage.partitions_answered == coverage.partitions_total
        if coverage.degraded == whole:
            self.findings.add("wrong", f"degraded is {coverage.degraded}: {coverage}")
        if whole:
            if not _same(found, self._whole, query):
                self.findings.add("wrong", f"a whole answer is not the oracle's: {found[:3]}")
            return
        # Which partitions answered is not told: some choice of that many must explain the answer.
        names = sorted(set(before.values()))
        for chosen in itertools.combinations(names, min(coverage.partitions_answered, len(names))):
            part = self._anchors.oracle(lambda i, c=chosen: before[i] in c)  # type: ignore[misc]
            if _same(found, part, query):
                return
        self.findings.add("wrong", f"a degraded answer is no merge of partitions: {found[:3]}")

    def _search_all(self, stub: SearchServiceStub, chance: random.Random) -> None:
        query = vector_of(chance.randrange(1 << 30))
        answer = self._asked(stub, vector_request(query, k=K), chance)
        if answer is None:
            return
        seen = set()
        for hit in answer.hits:
            box = box_from_proto(hit.box)
            if (hit.image_id, box) in seen:
                self.findings.add("wrong", f"{hit.image_id} {box} is there twice")
            seen.add((hit.image_id, box))
            if hit.image_id.startswith(ANCHORS):
                continue
            position = box.x // 100
            scores = [
                float(np.dot(vector_of(seed * PATCHES + position), query))
                for seed in self._history.ever_written(hit.image_id)
            ]
            if not any(abs(score - hit.score) < _TOLERANCE for score in scores):
                self.findings.add("wrong", f"{hit.image_id} {box} was never written like that")


def _same(found: list, oracle: Oracle, query: np.ndarray) -> bool:
    wanted = oracle.search(query, K)
    return len(found) == len(wanted) and all(
        (i, b) == (w.image_id, w.box) and abs(s - w.score) < _TOLERANCE
        for (i, b, s), w in zip(found, wanted, strict=True)
    )
