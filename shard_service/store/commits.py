"""Commits operations durably, and finds out what came of a commit that failed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import lmdb

from patchsearch.errors import Unavailable
from service_runtime.logs import logger
from shard_service.filters.damage import FiltersDamaged
from shard_service.integrity.change_log import Change
from shard_service.integrity.commit_witness import CommitWitness
from shard_service.store.failures import (
    UndurableCommit,
    disk_full,
    free_bytes,
    is_disk_full,
    room_needed,
)
from shard_service.store.images import DeleteImage, Operation, Outcome, PutImage
from shard_service.store.live_environment import LiveEnvironment
from shard_service.store.meta import seal_meta
from shard_service.store.writes import apply_operations, payload_bytes
from shard_service.timings import commit_not_timed


class Commits:
    """The one writer of an environment. `commit` is for one thread at a time.

    `committed_in` is told how many seconds each commit took to become durable.
    """

    def __init__(
        self,
        live: LiveEnvironment,
        witness: CommitWitness,
        committed_in: Callable[[float], None] = commit_not_timed,
    ) -> None:
        self._live = live
        self._committed_in = committed_in
        self._witness = witness
        self._room_wanted = 0
        self._count = live.commits
        witness.opened(self._count, live.opening)

    @property
    def count(self) -> int:
        """Transactions that were ever committed, one that is running not counted."""
        return self._count

    def commit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Writes `operations` in one durable transaction, in order; see `PatchStore.commit`."""
        if self._live.refusal:
            raise Unavailable("STORE_READ_ONLY", self._live.refusal)
        if self._room_wanted and free_bytes(self._live.path) < self._room_wanted:
            raise disk_full(self._live.path)
        payload = sum(payload_bytes(operation) for operation in operations)
        while True:
            outcomes: list[Outcome] = []
            try:
                self._transact(operations, outcomes)
                break
            except lmdb.MapFullError:
                self._live.grow(payload)
            except lmdb.Error as error:
                if self._is_there_after(error, outcomes):
                    break
                if is_disk_full(error, self._live.path, payload):
                    self._room_wanted = room_needed(payload)
                    raise disk_full(self._live.path) from error
                raise Unavailable(
                    "STORE_FAILED",
                    f"a write to {self._live.path} failed ({error}) and was undone; look at the "
                    "disk, then write again",
                ) from error
        self._room_wanted = 0
        self._count = self._live.commits
        self._witness.note(self._count)
        return outcomes

    def _transact(self, operations: Sequence[Operation], outcomes: list[Outcome]) -> None:
        live = self._live
        with live.open() as (env, databases):
            commits = live.commits + 1
            txn = env.begin(write=True)
            try:
                done, following = apply_operations(
                    txn, databases, operations, live.next_sequence, self._note_filter_damage
                )
                outcomes.extend(done)
                if not any(outcome.applied for outcome in outcomes):
                    txn.abort()
                    return
                meta = databases.meta
                txn.put(b"next_sequence", following.to_bytes(8, "little"), db=meta)
                txn.put(b"commits", commits.to_bytes(8, "little"), db=meta)
                txn.put(b"opening", live.opening.to_bytes(8, "little"), db=meta)
                seal_meta(txn, meta)
                self._witness.announce(commits, txn.id(), following, _changes(operations, outcomes))
            except BaseException:
                txn.abort()
                raise
            sys.audit("patchsearch.shard", "before-commit", str(live.path))
            started = time.perf_counter()
            txn.commit()
            self._committed_in(time.perf_counter() - started)
            live.next_sequence, live.commits = following, commits
            sys.audit("patchsearch.shard", "after-commit", str(live.path))

    def _is_there_after(self, error: lmdb.Error, outcomes: list[Outcome]) -> bool:
        """Whether a commit that failed with `error` is in the store all the same, durably."""
        live = self._live
        live.reopen(error)
        there = live.commits == self._count + 1
        if live.refusal and there:
            # It can be read and may be gone after the next start: whoever reads must see it
            # whole, and nobody is told that it will stay, not even the witness.
            self._count = live.commits
            raise UndurableCommit(live.refusal, outcomes) from error
        if live.refusal:
            raise Unavailable("STORE_READ_ONLY", live.refusal) from error
        self._witness.opened(live.commits, live.opening)
        return there

    def _note_filter_damage(self, damage: FiltersDamaged) -> None:
        log = logger("partition").bind(partition=self._live.identity.partition_id)
        log.error("filter index is damaged; it is rebuilt", error=damage.message)


def _changes(operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> list[Change]:
    changes = []
    for operation, outcome in zip(operations, outcomes, strict=True):
        if not outcome.applied:
            continue
        if isinstance(operation, PutImage):
            changes.append(Change(operation.image.image_id, operation.image.version, False))
        elif isinstance(operation, DeleteImage):
            # A deletion that is forgotten does no harm where it comes back.
            changes.append(Change(operation.image_id, operation.version, True))
    return changes
