"""The truth of a partition: one LMDB environment with images, patches and what they are.

Databases: `images` (image_id -> record or tombstone) and `patches` (sequence -> record), described
in `shard_service.store.records`; `meta`, described in `shard_service.store.meta`; and `filters`,
described in `shard_service.filters.terms`, which is derived from `images` but changes with it in
the same transactions. Beside them lie the notes of `shard_service.integrity.commit_witness`.
Everything else in a partition's directory is derived from these and can be rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.filters.matching import matching
from shard_service.filters.recent import RecentMatches
from shard_service.filters.verification import check
from shard_service.integrity.commit_witness import CommitWitness
from shard_service.store.commits import Commits
from shard_service.store.images import Operation, Outcome
from shard_service.store.live_environment import LiveEnvironment
from shard_service.store.meta import Identity, text
from shard_service.store.stored_images import StoredImages
from shard_service.timings import commit_not_timed


class PatchStore(StoredImages):
    """An open LMDB environment; one per process and directory. Thread-safe, with one writer.

    Raises while opening: DataLoss STORE_CORRUPT when LMDB cannot read it, FailedPrecondition
    FORMAT_UNKNOWN when a later version of the format wrote it, ResourceExhausted DISK_FULL when an
    earlier one did and there is no room to bring it to this one. `durable=False` leaves out every
    fsync: for measurements and for tests of the tests, since a power loss then costs acknowledged
    writes. `committed_in` is told how many seconds each commit took to become durable.
    """

    def __init__(
        self,
        path: Path,
        map_bytes: int,
        *,
        durable: bool = True,
        committed_in: Callable[[float], None] = commit_not_timed,
    ) -> None:
        live = LiveEnvironment(path, map_bytes, durable=durable)
        super().__init__(live)
        self.identity: Identity = live.identity
        self._witness = CommitWitness(path, durable=durable)
        self._commits = Commits(live, self._witness, committed_in)
        self._recent_matches = RecentMatches()

    def commit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Writes `operations` in one durable transaction, in order; one outcome each.

        Call it from one thread at a time. Raises ResourceExhausted DISK_FULL when there is no room
        (nothing was written, reads go on, a later call tries again), Unavailable STORE_FAILED when
        the disk failed and nothing was written, Unavailable STORE_READ_ONLY when the store could
        not be brought back for writing after a failed commit (reads go on; as UndurableCommit when
        they see what was written), Unavailable NOT_READY after `close`.
        """
        return self._commits.commit(operations)

    @property
    def commits(self) -> int:
        """Transactions that were ever committed, those of the running `commit` not counted."""
        return self._commits.count

    def matching(
        self, filter: Filter, opened: Callable[[int], None] | None = None
    ) -> tuple[int, NDArray[np.int64]]:
        """`commits` as of one moment, and the images that met `filter` then.

        They are named by their first sequences: (n,) ascending, read-only; images without patches
        are left out. Intersect them with the live rows as of the same commit, which `opened` is
        told before anything is read. Raises FiltersDamaged when the index is damaged where it was
        read: commit a `RebuildFilters` and ask again.
        """
        with self._live.reading() as (txn, databases):
            stored = txn.get(b"commits", db=databases.meta)
            commits = int.from_bytes(stored or b"", "little")
            if opened is not None:
                opened(commits)
            matches = self._recent_matches.get(commits, filter)
            if matches is None:
                matches = matching(txn, databases, filter)
                self._recent_matches.put(commits, filter, matches)
        return commits, matches

    def filter_problems(self, checkpoint: Checkpoint = no_checkpoint) -> list[str]:
        """Where the filter index is damaged or says something else than the images, in words.

        As of one moment, while writes go on. `checkpoint` is called now and then and may raise.
        """
        with self._live.reading_long() as (txn, databases):
            return list(check(txn, databases, checkpoint))

    def codebook_id(self) -> str:
        """The codebook that segments are built with; empty before the first one."""
        with self._live.open() as (env, databases), env.begin(db=databases.meta) as txn:
            return text(txn, b"codebook")

    def copy_to(self, path: Path, checkpoint: Checkpoint = no_checkpoint) -> None:
        """Writes the environment as of one moment into the directory `path`, while writes go on.

        `checkpoint` is called now and then and may raise to give up; what is there by then stays.
        Raises OSError when the disk fails, Unavailable NOT_READY or STORE_READ_ONLY.
        """
        self._live.copy_to(path, checkpoint)

    def close(self) -> None:
        """Waits for running transactions and closes the environment; again is not an error."""
        if self._live.close():
            self._witness.close()
