"""A partition's files on their way to another shard: a snapshot in pieces, its manifest first."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from patchsearch.errors import DataLoss, PatchsearchError, ResourceExhausted
from shard_service.checkpoint import Checkpoint
from shard_service.derived_files import sync_path
from shard_service.partition import Partition
from shard_service.partition_files import LMDB
from shard_service.replication.source_errors import source_failed
from shard_service.snapshots.contents import identity_in
from shard_service.snapshots.layout import SUMMARY, SnapshotSummary, decode_summary
from shard_service.store.meta import Identity

COPIES = "copies"
"""Below a data directory: snapshots that are being sent."""

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file of a snapshot, from `offset` on; `total_bytes` are those of all files."""

    path: str
    offset: int
    data: bytes
    total_bytes: int


def pieces_of(partition: Partition, data: Path, checkpoint: Checkpoint) -> Iterator[Piece]:
    """A consistent copy of `partition`, in pieces: `snapshot.json`, then the files that it names.

    The copy is made below `data`/copies first, of links where it can, and is gone at the end,
    however that comes. An empty file is one empty piece. Raises what `Partition.snapshot` raises.
    """
    staging = data.resolve() / COPIES / uuid.uuid4().hex
    try:
        report = partition.snapshot(str(staging), checkpoint)
        summary = (staging / SUMMARY).read_bytes()
        total = report.bytes + len(summary)
        yield Piece(SUMMARY, 0, summary, total)
        names = decode_summary(summary.decode("utf-8"), str(staging)).files
        for name in names:
            with (staging / name).open("rb") as file:
                offset = 0
                while (piece := file.read(_PIECE_BYTES)) or offset == 0:
                    checkpoint()
                    yield Piece(name, offset, piece, total)
                    offset += len(piece)
                    if not piece:
                        break
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_copies(data: Path) -> None:
    """Removes what a process that was killed while it sent has left."""
    shutil.rmtree(data / COPIES, ignore_errors=True)


def receive(
    pieces: Iterable[Piece],
    staging: Path,
    partition_id: str,
    source: str,
) -> Generator[tuple[int, int], None, Identity]:
    """Writes the pieces of a snapshot of `partition_id` into the new directory `staging`, durably.

    Every file is compared with its sum. Yields the bytes that came and how many there are; returns
    what the copy is. Raises Unavailable SOURCE_FAILED when something is missing, too much, or
    fails its sum, ResourceExhausted DISK_FULL when there is no room, OSError when the disk fails;
    whoever calls removes the directory then. `source` names the other shard in messages.
    """
    staging.mkdir()
    incoming = iter(pieces)
    summary = _summary(incoming, staging, partition_id, source)
    done = 0
    writing: _Incoming | None = None
    missing = dict(summary.files)
    try:
        for piece in incoming:
            if writing is None or piece.path != writing.name:
                if writing is not None:
                    writing.finish()
                expected = missing.pop(piece.path, None)
                if expected is None:
                    raise source_failed(source, f"it sent {piece.path!r}, no file of the copy")
                writing = _Incoming(staging, piece.path, expected, source)
            writing.add(piece)
            done += len(piece.data)
            yield done, piece.total_bytes
        if writing is not None:
            writing.finish()
    finally:
        if writing is not None:
            writing.close()
    if missing:
        raise source_failed(source, f"it ended before {min(missing)} was sent")
    for folder in [*(one for one in staging.rglob("*") if one.is_dir()), staging]:
        sync_path(folder)
    try:
        stored = identity_in(staging / LMDB)
    except (OSError, PatchsearchError) as error:
        raise source_failed(source, f"its copy cannot be opened ({error})") from error
    if stored != summary.identity:
        raise source_failed(source, "the copy's store is of another partition than it says")
    return stored


def _summary(
    incoming: Iterator[Piece], staging: Path, partition_id: str, source: str
) -> SnapshotSummary:
    first = next(incoming, None)
    if first is None or first.path != SUMMARY or first.offset:
        raise source_failed(source, "it sent no list of its files")
    try:
        summary = decode_summary(first.data.decode("utf-8", "replace"), source)
    except DataLoss as error:
        raise source_failed(source, error) from error
    if summary.identity.partition_id != partition_id:
        raise source_failed(source, f"it sent partition {summary.identity.partition_id}")
    free = shutil.disk_usage(staging).free
    if free < summary.bytes:
        raise ResourceExhausted(
            "DISK_FULL",
            f"partition {partition_id} has {summary.bytes >> 20} MiB and there are "
            f"{free >> 20} MiB free here: nothing was kept; free space and try again",
        )
    return summary


class _Incoming:
    """A file that is being received."""

    def __init__(self, staging: Path, name: str, expected: tuple[int, str], source: str) -> None:
        self.name = name
        self._expected = expected
        self._source = source
        self._digest = hashlib.sha256()
        self._size = 0
        path = staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("xb")

    def add(self, piece: Piece) -> None:
        too_much = self._size + len(piece.data) > self._expected[0]
        if piece.offset != self._size or too_much:
            raise source_failed(self._source, f"it sent {self.name} out of order")
        self._file.write(piece.data)
        sys.audit("patchsearch.shard", "mid-pull", self.name)
        self._digest.update(piece.data)
        self._size += len(piece.data)

    def close(self) -> None:
        # What could not be written is of no use any more.
        with suppress(OSError):
            self._file.close()

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if (self._size, self._digest.hexdigest()) != self._expected:
            raise source_failed(self._source, f"{self.name} fails its checksum")
