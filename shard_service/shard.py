"""A shard: all partitions under one data directory, and a search over some of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from patchsearch.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    Unavailable,
)
from service_runtime.logs import logger
from shard_service import validation
from shard_service.answers import PartitionAnswer, PartitionHit, merged_hits
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.directory_lock import DirectoryLock
from shard_service.index.codebook import SharedCodebooks
from shard_service.maintenance.recall import Observe
from shard_service.options import PartitionOptions
from shard_service.partition import Partition, not_observed
from shard_service.partition_files import UNFINISHED, create_partition
from shard_service.search.query import PartitionQuery
from shard_service.snapshots.staging import remove_leftovers
from shard_service.store.meta import Identity


@dataclass(frozen=True, eq=False, slots=True)
class ShardAnswer:
    """The merged hits, and per partition asked for what it answered or why it did not."""

    hits: list[PartitionHit]
    partitions: list[tuple[str, PartitionAnswer | PatchsearchError]]


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
    ) -> None:
        self._data = data
        self._options = options
        self._codebooks = SharedCodebooks()
        self._observe = observe
        self._partitions: dict[str, Partition] = {}
        self._failures: dict[str, PatchsearchError] = {}
        self._changing = threading.Lock()
        # One build at a time: each one reads much and computes on all the threads that it may.
        self._slots = threading.Semaphore(1)
        self._lock: DirectoryLock | None = None
        self._ready = False
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
        for path in sorted(parent.iterdir()):
            try:
                self._partitions[path.name] = self._opened(path)
            except PatchsearchError as error:
                self._failures[path.name] = error
                log.error("partition cannot be opened", partition=path.name, error=str(error))
        self._ready = True

    def create(self, identity: Identity) -> bool:
        """Creates an empty partition; False when the same one is there.

        Raises InvalidArgument PARTITION_INVALID, FailedPrecondition PARTITION_EXISTS or
        ENCODER_MISMATCH.
        """
        validation.check_partition(identity.partition_id, identity.hash_start, identity.hash_end)
        if not identity.fingerprint or not 1 <= identity.dim <= 4096 or identity.dim % 64:
            raise InvalidArgument(
                "PARTITION_INVALID",
                f"partition {identity.partition_id} has fingerprint {identity.fingerprint!r} and "
                f"{identity.dim} numbers a vector; name the encoder, and give a multiple of 64 "
                "up to 4096",
            )
        with self._changing:
            if self._is_there(identity.partition_id):
                self._check_same(self.partition(identity.partition_id).identity, identity)
                return False
            path = self._parent / identity.partition_id
            create_partition(path, identity, self._options.map_bytes)
            self._partitions[path.name] = self._opened(path)
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
        wanted = sorted(set(partition_ids)) or sorted(self._partitions)
        return [self.partition(partition_id) for partition_id in wanted]

    def search(
        self,
        partition_ids: Sequence[str],
        query: PartitionQuery,
        fingerprint: str,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> ShardAnswer:
        """Searches the partitions listed, each once, and merges what they find.

        A partition's failure is its own; InvalidArgument, which all would raise, and what
        `checkpoint` raises end the search.
        """
        validation.check_k(query.k)

        def answer(partition_id: str) -> PartitionAnswer | PatchsearchError:
            try:
                return self.partition(partition_id).search(query, fingerprint, checkpoint)
            except (InvalidArgument, DeadlineExceeded):
                raise
            except PatchsearchError as error:
                return error

        wanted = list(dict.fromkeys(partition_ids))
        if self._side_by_side is None or len(wanted) == 1:
            answers = [answer(partition_id) for partition_id in wanted]
        else:
            answers = list(self._side_by_side.map(answer, wanted))
        good = [one for one in answers if isinstance(one, PartitionAnswer)]
        return ShardAnswer(merged_hits(good, query.k), list(zip(wanted, answers, strict=True)))

    def close(self) -> None:
        """Closes every partition and lets the directory go; again is not an error."""
        self._ready = False
        with self._changing:
            for partition in self._partitions.values():
                partition.close()
            self._partitions.clear()
        if self._side_by_side is not None:
            self._side_by_side.shutdown()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _opened(self, path: Path) -> Partition:
        return Partition(
            path, self._options, self._slots, self._codebooks, self._observe, path.name
        )

    @property
    def _parent(self) -> Path:
        return self._data / "partitions"

    def _is_there(self, partition_id: str) -> bool:
        return (self._parent / partition_id).exists()

    @staticmethod
    def _check_same(mine: Identity, wanted: Identity) -> None:
        if (mine.hash_start, mine.hash_end) != (wanted.hash_start, wanted.hash_end):
            raise FailedPrecondition(
                "PARTITION_EXISTS",
                f"partition {mine.partition_id} exists and holds hashes {mine.hash_start:016x} to "
                f"{mine.hash_end:016x}, not {wanted.hash_start:016x} to {wanted.hash_end:016x}: "
                "mend the placement",
            )
        if (mine.fingerprint, mine.dim) != (wanted.fingerprint, wanted.dim):
            raise FailedPrecondition(
                "ENCODER_MISMATCH",
                f"partition {mine.partition_id} holds vectors of {mine.encoder} "
                f"({mine.fingerprint}), not of {wanted.encoder} ({wanted.fingerprint}): start "
                f"{mine.encoder}, or start a new collection",
                metadata={"expected": mine.fingerprint, "given": wanted.fingerprint},
            )
