"""A shard: all partitions under one data directory, and a search over some of them."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from patchsearch.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    Unavailable,
)
from service_runtime.logs import logger
from shard_service import validation
from shard_service.answers import PartitionAnswer, PartitionHit, merged_hits
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.derived_files import move_aside, remove_directory, sync_path
from shard_service.directory_lock import DirectoryLock
from shard_service.identity_checks import check_identity, check_same
from shard_service.index.codebook import SharedCodebooks
from shard_service.maintenance.recall import Observe
from shard_service.options import PartitionOptions
from shard_service.partition import Partition, not_observed
from shard_service.partition_files import UNFINISHED, create_partition
from shard_service.replication.copying import remove_copies
from shard_service.search.query import PartitionQuery
from shard_service.snapshots.staging import remove_leftovers
from shard_service.store.failures import disk_errors_told
from shard_service.store.meta import Identity
from shard_service.timings import NOT_TIMED, Timings

_DROP_WAIT_S = 5.0
# Shorter searches are mostly Python, which takes turns.
_WORTH_A_THREAD_S = 0.001
_SMOOTHING = 0.1

_Outcome = PartitionAnswer | PatchsearchError


@dataclass(frozen=True, eq=False, slots=True)
class ShardAnswer:
    """The merged hits, whether there may be more of the best k, and per partition asked for what it
    answered or why it did not."""

    hits: list[PartitionHit]
    more: bool
    partitions: list[tuple[str, _Outcome]]


class Shard:
    """The open partitions below `data`/partitions. Thread-safe.

    Nothing is open before `open`. A partition that cannot be opened does not keep the others from
    serving: calls for it raise what opening it raised. Neither does one that lies in the directory
    of another: it is not opened.
    """

    def __init__(
        self,
        data: Path,
        options: PartitionOptions,
        *,
        search_threads: int = 1,
        observe: Observe = not_observed,
        timings: Timings = NOT_TIMED,
    ) -> None:
        self._data = data
        self._options = options
        self._codebooks = SharedCodebooks()
        self._observe = observe
        self._timings = timings
        self._partitions: dict[str, Partition] = {}
        self._failures: dict[str, PatchsearchError] = {}
        self._changing = threading.Lock()
        self._reserved: set[str] = set()
        # One build at a time: each one reads much and computes on all the threads that it may.
        self._slots = threading.Semaphore(1)
        self._lock: DirectoryLock | None = None
        self._ready = False
        self._usual_s = 0.0
        self._side_by_side = (
            ThreadPoolExecutor(search_threads, thread_name_prefix="search")
            if search_threads > 1
            else None
        )

    def lock(self) -> None:
        """Takes the data directory; raises FailedPrecondition DATA_DIR_IN_USE."""
        if self._lock is None:
            self._lock = DirectoryLock(self._data)

    def open(self) -> None:
        """Opens every partition. Raises FailedPrecondition DATA_DIR_IN_USE."""
        self.lock()
        parent = self._parent
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in parent.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover)
        for folder in (self._data / "snapshots", *self._data.glob("snapshots/*/")):
            remove_leftovers(folder)
        log = logger("shard")
        remove_copies(self._data)
        for path in sorted(parent.iterdir()):
            # What was moved aside.
            if path.name.startswith("."):
                continue
            try:
                with disk_errors_told(path, f"partition {path.name}"):
                    self._partitions[path.name] = self._opened(path)
            except PatchsearchError as error:
                self._failures[path.name] = error
                log.error("partition cannot be opened", partition=path.name, error=str(error))
        self._ready = True

    def create(self, identity: Identity) -> bool:
        """Creates an empty partition; False when the same one is there.

        Raises InvalidArgument PARTITION_INVALID, FailedPrecondition PARTITION_EXISTS or
        ENCODER_MISMATCH, ResourceExhausted DISK_FULL, Unavailable STORE_FAILED; nothing is left
        then.
        """
        check_identity(identity)
        with self.reserved(identity.partition_id) as path:
            if path.exists():
                check_same(self.partition(identity.partition_id).identity, identity)
                return False
            with disk_errors_told(self._data, f"partition {path.name}"):
                create_partition(path, identity, self._options.map_bytes)
                try:
                    self._partitions[path.name] = self._opened(path)
                except BaseException:
                    remove_directory(path)
                    raise
            return True

    @contextmanager
    def reserved(self, partition_id: str) -> Iterator[Path]:
        """Where a partition lies or is to lie, for the one who creates, fetches or drops it.

        Raises InvalidArgument PARTITION_INVALID for a malformed id, and Unavailable NOT_READY while
        another one does, or the shard is not open.
        """
        validation.check_partition_id(partition_id)
        with self._changing:
            if not self._ready:
                raise Unavailable("NOT_READY", "the shard is opening its partitions; try again")
            if partition_id in self._reserved:
                raise Unavailable(
                    "NOT_READY",
                    f"partition {partition_id} is being created, fetched or dropped; try again",
                )
            self._reserved.add(partition_id)
        try:
            yield self._parent / partition_id
        finally:
            with self._changing:
                self._reserved.discard(partition_id)

    def staging(self) -> Path:
        """A new name for a directory that is to become a partition; removed at the next start."""
        return self._parent / f"{UNFINISHED}{uuid.uuid4().hex}"

    def install(self, staging: Path, partition_id: str) -> None:
        """Puts a whole directory in the place of a partition that is not here, or cannot be opened,
        and serves it. To be called within `reserved`.

        What cannot be opened is kept aside, the last one only. Raises what opening raises; the
        directory is gone then.
        """
        path = self._parent / partition_id
        if path.exists():
            move_aside(path)
        staging.rename(path)
        sync_path(self._parent)
        sys.audit("patchsearch.shard", "after-install", str(path))
        try:
            self._partitions[partition_id] = self._opened(path)
        except BaseException:
            remove_directory(path)
            raise
        self._failures.pop(partition_id, None)

    def drop(self, partition_id: str) -> bool:
        """Stops serving a partition at once and deletes its files; False when it was not here.

        Searches that are running end first, as far as they take no more than some seconds; writes
        that wait are answered. Whoever is killed meanwhile leaves it whole or gone. Raises
        Unavailable NOT_READY as `reserved` does.
        """
        with self.reserved(partition_id) as path:
            partition = self._partitions.pop(partition_id, None)
            self._failures.pop(partition_id, None)
            if partition is not None:
                partition.close(wait_s=_DROP_WAIT_S)
            if not path.exists():
                return False
            gone = self.staging()
            path.rename(gone)
            sync_path(self._parent)
            sys.audit("patchsearch.shard", "mid-drop", str(gone))
            shutil.rmtree(gone, ignore_errors=True)
            return True

    def partition(self, partition_id: str) -> Partition:
        """Raises NotFound PARTITION_NOT_FOUND, Unavailable NOT_READY, or why opening it failed."""
        found = self._partitions.get(partition_id)
        if found is not None:
            return found
        if not self._ready:
            raise Unavailable("NOT_READY", "the shard is opening its partitions; try again")
        if partition_id in self._failures:
            failure = self._failures[partition_id]
            # A new one for each call: whoever sends it adds that call's request id.
            raise type(failure)(failure.reason, failure.message, metadata=failure.metadata)
        raise NotFound(
            "PARTITION_NOT_FOUND",
            f"this shard does not hold partition {partition_id!r}; reload the placement",
            metadata={"partition_id": partition_id},
        )

    def partitions(self, partition_ids: Sequence[str] = ()) -> list[Partition]:
        """Those asked for, or all that could be opened; by id."""
        if not partition_ids and not self._ready:
            raise Unavailable("NOT_READY", "the shard is opening its partitions; try again")
        if partition_ids:
            return [self.partition(partition_id) for partition_id in sorted(set(partition_ids))]
        # One look, so that one that is dropped meanwhile is no failure.
        return [partition for _, partition in sorted(self._partitions.items())]

    def search(
        self,
        partition_ids: Sequence[str],
        queries: Sequence[tuple[PartitionQuery, str]],
        checkpoint: Checkpoint = no_checkpoint,
        epoch: int = 0,
    ) -> list[ShardAnswer]:
        """Searches the partitions listed, each once, and merges what they find, by query.

        A query comes with the fingerprint of its vector's encoder. Searches that usually take a
        while run side by side. A partition's failure is its own; InvalidArgument, which all would
        raise, and what `checkpoint` raises end the search.
        """
        for query, _ in queries:
            validation.check_k(query.k)

        def answers(asked: Sequence[tuple[PartitionQuery, str, str]]) -> list[_Outcome]:
            outcomes: list[_Outcome] = []
            # To ask for this takes as long as a tenth of a short search.
            began = time.thread_time()
            for query, fingerprint, partition_id in asked:
                try:
                    partition = self.partition(partition_id)
                    outcomes.append(partition.search(query, fingerprint, checkpoint, epoch))
                except (InvalidArgument, DeadlineExceeded):
                    raise
                except PatchsearchError as error:
                    outcomes.append(error)
            each_s = (time.thread_time() - began) / max(1, len(asked))
            self._usual_s += _SMOOTHING * (each_s - self._usual_s)
            return outcomes

        wanted = list(dict.fromkeys(partition_ids))
        asked = [(*query, partition_id) for query in queries for partition_id in wanted]
        pool = self._side_by_side
        if pool is None or len(asked) == 1 or self._usual_s < _WORTH_A_THREAD_S:
            outcomes = iter(answers(asked))
        else:
            outcomes = chain.from_iterable(pool.map(answers, [[one] for one in asked]))
        return [_merged(wanted, [next(outcomes) for _ in wanted], query.k) for query, _ in queries]

    def close(self) -> None:
        """Closes every partition and lets the directory go; again is not an error."""
        self._ready = False
        with self._changing:
            partitions = list(self._partitions.values())
            self._partitions.clear()
        for partition in partitions:
            partition.close()
        if self._side_by_side is not None:
            self._side_by_side.shutdown()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _opened(self, path: Path) -> Partition:
        return Partition(
            path,
            self._options,
            self._slots,
            self._codebooks,
            self._observe,
            path.name,
            self._timings,
        )

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._data

    @property
    def _parent(self) -> Path:
        return self._data / "partitions"


def _merged(partition_ids: Sequence[str], outcomes: Sequence[_Outcome], k: int) -> ShardAnswer:
    good = [one for one in outcomes if isinstance(one, PartitionAnswer)]
    return ShardAnswer(*merged_hits(good, k), list(zip(partition_ids, outcomes, strict=True)))
