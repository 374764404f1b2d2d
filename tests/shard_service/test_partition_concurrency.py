"""Writers, deleters, searchers and builders at once: no row twice, nothing acknowledged missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from patchsearch.filters import ImageIdPrefix, Match
from shard_service.answers import PartitionAnswer
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found
from tests.shard_service.partition_material import packed

LASTS_S = 5.0
WRITERS, SEARCHERS = 3, 2
STEADY, FILLERS = 40, 60
"""Images that nobody changes. With those of the writers there are never more than 1000 patches."""


class Crowd:
    """Threads that repeat their work until the time is over; a deadlock is a failure."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self.rounds: dict[str, int] = {}

    def start(self, name: str, work: Callable[[], None], pause_s: float = 0.0) -> None:
        def run() -> None:
            try:
                while not self.over.is_set():
                    work()
                    self.rounds[name] = self.rounds.get(name, 0) + 1
                    self.over.wait(pause_s)
            except BaseException as error:
                self._errors.append(error)
                self.over.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def join(self) -> None:
        self.over.wait(LASTS_S)
        self.over.set()
        until = time.monotonic() + 30
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if self._errors:
            raise self._errors[0]
        assert not stuck, f"threads do not end: {stuck}"


class Writer:
    """Writes and deletes images of its own, and knows what must be found of them."""

    def __init__(self, number: int, partition: Partition, oracle: Oracle) -> None:
        self._name = f"w{number}"
        self._partition = partition
        self._oracle = oracle
        self._rng = np.random.default_rng(number)
        self._vectors: dict[str, Any] = {}
        self._version = 0

    def __call__(self) -> None:
        self._version += 1
        image_id = f"{self._name}/{int(self._rng.integers(20))}"
        if self._rng.random() < 0.3:
            self._delete(image_id)
        else:
            self._put(image_id)
        # What was written long ago is there as well.
        for other in list(self._vectors)[:: max(1, len(self._vectors) // 2)]:
            self._check(other)

    def _put(self, image_id: str) -> None:
        count = int(self._rng.integers(1, 7))
        vectors = units(self._rng, count)
        metadata = packed({"writer": self._name, "version": self._version})
        write = photo(
            image_id, row_of_boxes(count), vectors, version=self._version, metadata=metadata
        )
        assert self._partition.put([write], FINGERPRINT) == [True] == self._oracle.put(write)
        self._vectors[image_id] = vectors
        self._check(image_id)

    def _delete(self, image_id: str) -> None:
        deleted = self._partition.delete([image_id], self._version)
        assert deleted == self._oracle.delete([image_id], self._version)
        vectors = self._vectors.pop(image_id, None)
        if vectors is not None:
            answer = self._partition.search(PartitionQuery(vectors[0], 5), FINGERPRINT)
            once(answer)
            assert image_id.encode() not in {hit.image.image_id for hit in answer.hits}

    def _check(self, image_id: str) -> None:
        vectors = self._vectors[image_id]
        at = int(self._rng.integers(len(vectors)))
        mine = Match("writer", (self._name,)) & ImageIdPrefix(image_id)
        for filter in (None, mine):
            query = PartitionQuery(vectors[at], 3, filter=filter)
            answer = self._partition.search(query, FINGERPRINT)
            once(answer)
            best = answer.hits[0]
            assert (best.image.image_id.decode(), best.box[0]) == (image_id, 100 * at)
            assert best.score == pytest.approx(1.0, abs=1e-3)


def once(answer: PartitionAnswer) -> None:
    """No row twice, and of an image one version alone."""
    rows = [(hit.image.image_id, box) for hit in answer.hits for box in boxes_of(hit)]
    assert len(rows) == len(set(rows))
    versions = {(hit.image.image_id, hit.image.version) for hit in answer.hits}
    assert len(versions) == len({image_id for image_id, _ in versions})
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)


def boxes_of(hit: Any) -> list[Any]:
    return [hit.box, *(box for box, _ in hit.suppressed)]


@pytest.mark.parametrize("profile", ["graph", "compact"])
def test_nothing_is_lost_or_doubled_while_everything_happens(opened: Opened, profile: str) -> None:
    # Segments are sealed and merged all the time, and with them goes the idle merging.
    partition = opened(
        profile=profile, seal_patches=300, min_train_patches=300, idle_s=0.2, recall_share=0.2
    )
    rng = np.random.default_rng(99)
    steady = units(rng, STEADY)
    oracle = Oracle()
    writes = [photo(f"s{n:02}", row_of_boxes(1), steady[n : n + 1]) for n in range(STEADY)]
    writes += [photo(f"f{n}", row_of_boxes(8), units(rng, 8)) for n in range(FILLERS)]
    assert partition.put(writes, FINGERPRINT) == oracle.put(*writes)
    crowd = Crowd()

    def search(number: int) -> Callable[[], None]:
        order = np.random.default_rng([7, number])

        def work() -> None:
            at = int(order.integers(STEADY))
            k = int(order.choice([1, 16, 1000]))
            answer = partition.search(PartitionQuery(steady[at], k), FINGERPRINT)
            once(answer)
            assert answer.hits[0].image.image_id == f"s{at:02}".encode()
            if k == 1000:
                ids = {hit.image.image_id for hit in answer.hits}
                assert {f"s{n:02}".encode() for n in range(STEADY)} <= ids
            answer = partition.search(
                PartitionQuery(steady[at], 100, filter=ImageIdPrefix("s")), FINGERPRINT
            )
            once(answer)
            assert len(answer.hits) == STEADY

        return work

    for number in range(WRITERS):
        crowd.start(f"writer {number}", Writer(number, partition, oracle))
    for number in range(SEARCHERS):
        crowd.start(f"searcher {number}", search(number))
    crowd.start("sealer", partition.seal, pause_s=0.15)
    crowd.start("compactor", partition.compact, pause_s=0.4)
    crowd.start("scrubber", lambda: none_damaged(partition), pause_s=0.5)
    crowd.start("describer", lambda: counts_are_possible(partition), pause_s=0.05)
    crowd.join()
    assert len(crowd.rounds) == WRITERS + SEARCHERS + 4

    # All threads wrote to the oracle in the order of their own images, which nobody shares.
    for _ in range(2):
        state = partition.describe()
        assert state.patches == oracle.patches
        for vector in units(rng, 3):
            query = PartitionQuery(vector, 1000)
            assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)
        opened.close()
        partition = opened(profile=profile)


def none_damaged(partition: Partition) -> None:
    assert partition.scrub().damages == ()


def counts_are_possible(partition: Partition) -> None:
    state = partition.describe()
    assert state.damaged_images == 0
    assert "failed" not in state.activity
    assert 0 <= state.growing_patches <= state.patches
    assert state.images >= STEADY + FILLERS


def test_closing_amid_everything_ends_everything(opened: Opened) -> None:
    """Calls end or are refused; the partition is whole at the next start."""
    partition, oracle = opened(seal_patches=300, idle_s=0.1), Oracle()
    rng = np.random.default_rng(5)
    writes = [photo(f"f{n}", row_of_boxes(8), units(rng, 8)) for n in range(100)]
    assert partition.put(writes, FINGERPRINT) == oracle.put(*writes)
    calls: list[threading.Thread] = []
    refused: list[Exception] = []

    def attempt(work: Callable[[], object]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:
                refused.append(error)

        calls.append(threading.Thread(target=run, daemon=True))
        calls[-1].start()

    attempt(partition.seal)
    attempt(partition.compact)
    attempt(partition.compact)
    time.sleep(0.05)
    closer = threading.Thread(target=partition.close, daemon=True)
    closer.start()
    for thread in (closer, *calls):
        thread.join(20)
        assert not thread.is_alive()
    assert all("NOT_READY" in str(error) for error in refused), refused
    partition = opened()
    query = PartitionQuery(units(rng, 1)[0], 1000)
    assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)
