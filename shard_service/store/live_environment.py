"""The open LMDB environment of a store: who may use it, and when it grows, is reopened or ends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from patchsearch.errors import PatchsearchError, Unavailable
from shard_service.checkpoint import Checkpoint
from shard_service.store.databases import Databases
from shard_service.store.environment import open_environment
from shard_service.store.environment_copy import copy_environment
from shard_service.store.failures import room_needed
from shard_service.store.meta import Identity, number
from shard_service.store.read_gate import ReadGate

# Of address space, not of memory or disk.
_READ_ROOM = 8 << 30


class LiveEnvironment:
    """An environment that stays usable whatever the disk does to it. Thread-safe.

    Raises while opening what `open_environment` raises. `commits` and `next_sequence` are those
    that the store tells; whoever commits keeps them up to date. `opening` is a number of 64 bits,
    not 0, drawn anew for each opening of the environment. `refusal` says why nothing can be
    written any more; empty as long as something can.
    """

    def __init__(self, path: Path, map_bytes: int, *, durable: bool) -> None:
        self.path = path
        self.refusal = ""
        self._durable = durable
        self._map_bytes = map_bytes
        self._gate = ReadGate()
        self._closed = False
        self._lost = True
        self.identity: Identity = self._open()

    @contextmanager
    def reading(self) -> Iterator[tuple[lmdb.Transaction[bytes], Databases]]:
        """A read transaction, and the databases.

        Raises Unavailable NOT_READY after `close`, STORE_READ_ONLY when the environment is lost.
        """
        with self.open() as (env, databases), env.begin() as txn:
            yield txn, databases

    @contextmanager
    def open(self) -> Iterator[tuple[lmdb.Environment, Databases]]:
        """Keeps the environment open meanwhile; raises what `reading` raises."""
        with self._gate:
            self._check_open()
            yield self._env, self._databases

    def grow(self, payload: int) -> None:
        """Makes the map larger by room for `payload` bytes, at least by half."""
        with self._gate.alone():
            grown = max(self._map_bytes, int(self._env.info()["map_size"]))
            # Doubling keeps growth rare; the file itself only takes what is written.
            self._map_bytes = max(2 * grown, grown + 2 * room_needed(payload))
            self._env.set_mapsize(self._map_bytes)

    def reopen(self, error: lmdb.Error) -> None:
        """Reopens after a commit that failed with `error`, whose state LMDB leaves open.

        `commits` tells afterwards whether it is there all the same; it is durable then, unless
        `refusal` is set: the environment is for reading only then, or lost.
        """
        before = self.commits
        with self._gate.alone():
            try:
                self._env.close()
                self._open()
                if self.commits != before:
                    self._env.sync(True)
                return
            except (lmdb.Error, PatchsearchError) as worse:
                self.refusal = (
                    f"a write to {self.path} failed ({error}) and the store did not come back for "
                    f"writing ({worse}); mend the disk and restart the shard"
                )
            if self._lost:
                try:
                    self._open(readonly=True)
                except (lmdb.Error, PatchsearchError):
                    # Reads are refused with the same words.
                    return

    @contextmanager
    def reading_long(self) -> Iterator[tuple[lmdb.Transaction[bytes], Databases]]:
        """As `reading`, for what takes long: writes that come meanwhile find room in the map."""
        self._widen()
        with self.reading() as transaction:
            yield transaction

    def copy_to(self, path: Path, checkpoint: Checkpoint) -> None:
        """Writes the environment as of one moment into the directory `path`, while writes go on.

        `checkpoint` is called now and then and may raise to give up; what is there by then stays.
        Raises OSError when the disk fails, and what `reading` raises.
        """
        self._widen()
        with self.open() as (env, _):
            copy_environment(env, path / "data.mdb", checkpoint)

    def close(self) -> bool:
        """Waits for running transactions and closes it; False when it was closed before."""
        with self._gate.alone():
            if self._closed:
                return False
            self._closed = True
            self._env.close()
            return True

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("NOT_READY", "the partition is closed; try another replica")
        if self._lost:
            raise Unavailable("STORE_READ_ONLY", self.refusal)

    def _open(self, *, readonly: bool = False) -> Identity:
        self._lost = True
        self._env, self._databases, identity = open_environment(
            self.path, self._map_bytes, durable=self._durable, readonly=readonly
        )
        with self._env.begin(db=self._databases.meta) as txn:
            self.next_sequence = number(txn, b"next_sequence")
            self.commits = number(txn, b"commits")
        self.opening = secrets.randbelow((1 << 64) - 1) + 1
        self._lost = False
        return identity

    def _widen(self) -> None:
        # The map cannot grow while somebody reads, and whoever waits for that keeps everybody out.
        with self._gate.alone():
            self._check_open()
            if self.refusal:
                return
            info = self._env.info()
            used = (int(info["last_pgno"]) + 1) * int(self._env.stat()["psize"])
            if int(info["map_size"]) < 2 * used + _READ_ROOM // 2:
                self._map_bytes = 2 * used + _READ_ROOM
                self._env.set_mapsize(self._map_bytes)
