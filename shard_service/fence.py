"""Which placements a partition still answers to: epochs kept beside its store.

`fence` in a partition's directory is a line of JSON: min_write_epoch, min_read_epoch, and the
CRC32C of the two as 16 bytes little-endian. It is replaced by one rename, so it is there whole or
as before; no file means that the partition was never fenced. It is no part of a snapshot: what is
restored begins in a placement of its own.
"""

from __future__ import annotations

import errno
import json
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from patchsearch.errors import FailedPrecondition, InvalidArgument, Unavailable
from service_runtime.logs import logger
from shard_service.derived_files import sync_path
from shard_service.store.failures import disk_full
from shard_service.store.read_gate import ReadGate

FENCE = "fence"
UNKNOWN_EPOCH = (1 << 64) - 1
"""What a damaged fence lets through: nothing, until it is set anew."""

LONGEST_HOLD_S = 30.0

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Epochs:
    """Calls that act on placements older than these are refused."""

    min_write: int = 0
    min_read: int = 0


@dataclass(frozen=True, slots=True)
class _Hold:
    epoch: int = 0
    until: float = 0.0
    """Monotonic seconds."""


class Fence:
    """The fence of one partition. Thread-safe.

    A damaged file lets no call through that tells its epoch, until `raise_to` names both epochs
    again: what was fenced off must not come back unnoticed.
    """

    def __init__(self, directory: Path, partition_id: str) -> None:
        self._path = directory / FENCE
        self._partition_id = partition_id
        self._raising = threading.Lock()
        self._writes = ReadGate()
        self._epochs = _read(self._path)
        self._hold = _Hold()
        if UNKNOWN_EPOCH in (self._epochs.min_write, self._epochs.min_read):
            logger("partition").error(
                "fence is damaged: calls are refused until it is set anew", partition=partition_id
            )

    @property
    def epochs(self) -> Epochs:
        """What is in force."""
        return self._epochs

    @property
    def damage(self) -> str:
        """What is wrong with it, in words; empty where nothing is."""
        if UNKNOWN_EPOCH in (self._epochs.min_write, self._epochs.min_read):
            return "the fence is damaged and lets no call through: fence the partition again"
        return ""

    def raise_to(self, epochs: Epochs) -> Epochs:
        """Refuses older epochs from now on, durably; 0 and what is below the present changes
        nothing. Returns what is in force.

        No write of a placement that is refused now is under way any more on return. Raises
        ResourceExhausted DISK_FULL or Unavailable STORE_FAILED, and has changed nothing then.
        """
        with self._raising:
            now = self._epochs
            raised = Epochs(
                _raised(now.min_write, epochs.min_write), _raised(now.min_read, epochs.min_read)
            )
            if raised != now:
                self._store(raised)
                with self._writes.alone():
                    self._epochs = raised
            return raised

    def hold_reads(self, epoch: int, seconds: float) -> None:
        """Refuses reads of placements older than `epoch` for so long; nothing of it is kept.

        For the moment in which that epoch comes into force: should it not, reads go on as before.
        Raises InvalidArgument HOLD_OUT_OF_RANGE for over 30 seconds.
        """
        if seconds > LONGEST_HOLD_S:
            raise InvalidArgument(
                "HOLD_OUT_OF_RANGE",
                f"reads were to be held for {seconds:g} s; the limit is {LONGEST_HOLD_S:g} s",
            )
        self._hold = _Hold(epoch, time.monotonic() + seconds)

    @contextmanager
    def writing(self, epoch: int) -> Iterator[None]:
        """Surrounds a write that acts on the placement `epoch`, 0 for whoever is not bound by one.

        Raises FailedPrecondition STALE_PLACEMENT.
        """
        with self._writes:
            self._check(epoch, self._epochs.min_write, "writes")
            yield

    @contextmanager
    def no_writes(self) -> Iterator[None]:
        """Waits until no write is under way, and lets none begin meanwhile."""
        with self._writes.alone():
            yield

    def check_read(self, epoch: int) -> None:
        """Raises FailedPrecondition STALE_PLACEMENT for a read of a placement that is too old."""
        hold = self._hold
        held = hold.epoch if time.monotonic() < hold.until else 0
        self._check(epoch, max(held, self._epochs.min_read), "searches and reads")

    def _check(self, epoch: int, minimum: int, what: str) -> None:
        if epoch == 0 or epoch >= minimum:
            return
        in_force = "(unknown)" if minimum == UNKNOWN_EPOCH else str(minimum)
        raise FailedPrecondition(
            "STALE_PLACEMENT",
            f"partition {self._partition_id} takes {what} of placements from epoch {in_force} on, "
            f"and this one is {epoch}: reload the placement and ask again",
            metadata={
                "partition_id": self._partition_id,
                "epoch": in_force,
                "given": str(epoch),
            },
        )

    def _store(self, epochs: Epochs) -> None:
        temporary = self._path.with_name(f".{FENCE}-{uuid.uuid4().hex}")
        values = {"min_write_epoch": epochs.min_write, "min_read_epoch": epochs.min_read}
        try:
            try:
                temporary.write_text(json.dumps({**values, "crc32c": _sum(epochs)}) + "\n")
                sync_path(temporary)
                temporary.rename(self._path)
                sync_path(self._path.parent)
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise disk_full(self._path.parent) from error
            raise Unavailable(
                "STORE_FAILED", f"{self._path} cannot be written: {error}; look at the disk"
            ) from error


def is_damaged(path: Path) -> bool:
    """Whether the file of a fence is there and does not say what was written."""
    epochs = _read(path)
    return UNKNOWN_EPOCH in (epochs.min_write, epochs.min_read)


def _raised(now: int, wanted: int) -> int:
    if now == UNKNOWN_EPOCH and wanted:
        return wanted
    return max(now, wanted)


def _sum(epochs: Epochs) -> int:
    return int(google_crc32c.value(struct.pack("<QQ", epochs.min_write, epochs.min_read)))


def _read(path: Path) -> Epochs:
    closed = Epochs(UNKNOWN_EPOCH, UNKNOWN_EPOCH)
    try:
        values = json.loads(path.read_text())
        epochs = Epochs(int(values["min_write_epoch"]), int(values["min_read_epoch"]))
        return epochs if values["crc32c"] == _sum(epochs) else closed
    except FileNotFoundError:
        return Epochs()
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return closed
