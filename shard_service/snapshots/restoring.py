"""Restores a snapshot as a partition of a data directory that no shard has open."""

from __future__ import annotations

import errno
import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from patchsearch.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    ResourceExhausted,
    Unavailable,
)
from shard_service.checkpoint import no_checkpoint
from shard_service.derived_files import sync_path
from shard_service.directory_lock import DirectoryLock
from shard_service.partition_files import UNFINISHED
from shard_service.snapshots.contents import fingerprint_in, identity_in
from shard_service.snapshots.layout import (
    LMDB,
    SUMMARY,
    SnapshotSummary,
    decode_summary,
    file_sum,
)
from shard_service.store.meta import Identity

_CHUNK_BYTES = 4 << 20
_STORE_FILE = f"{LMDB}/data.mdb"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Progress = Callable[[int, int], None]
"""Told the bytes that were copied, and how many there are in all."""


def tell_nobody(done: int, total: int) -> None:
    """For restores that nobody watches."""


def restore_snapshot(
    source: str,
    data: Path,
    *,
    fingerprint: str = "",
    progress: Progress = tell_nobody,
) -> SnapshotSummary:
    """Copies the snapshot at `source`, a path or a URL that fsspec knows, below `data`/partitions.

    Every file is compared with its sum before the partition appears, which is at once and whole.
    Raises InvalidArgument SOURCE_INVALID, NotFound SNAPSHOT_NOT_FOUND, DataLoss SNAPSHOT_CORRUPT,
    FailedPrecondition FORMAT_UNKNOWN, DATA_DIR_IN_USE, PARTITION_EXISTS, or ENCODER_MISMATCH when
    it holds vectors of another encoder than `fingerprint` (where given) or than a partition that is
    there; ResourceExhausted DISK_FULL; Unavailable SOURCE_FAILED or DATA_DIR_FAILED. Nothing is
    left behind then.
    """
    filesystem, path = _located(source)
    summary = _summary(filesystem, path, source)
    try:
        lock = DirectoryLock(data)
        try:
            partitions = data / "partitions"
            partitions.mkdir(exist_ok=True)
            sync_path(data)
            for leftover in partitions.glob(f"{UNFINISHED}*"):
                shutil.rmtree(leftover)
            target = partitions / summary.identity.partition_id
            _check_fits(summary, fingerprint, partitions, target)
            staging = partitions / f"{UNFINISHED}{uuid.uuid4().hex}"
            try:
                _copy(filesystem, path, source, summary, staging, progress)
                _check_identity(staging, summary.identity, source)
                staging.rename(target)
                sync_path(partitions)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        finally:
            lock.release()
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _no_room(data, summary) from error
        raise Unavailable("DATA_DIR_FAILED", f"{data} cannot be written: {error}") from error
    return summary


def is_restored(source: str, data: Path) -> SnapshotSummary | None:
    """What `source` holds, if just that is in its place below `data` and was not opened since;
    else None. Raises what `restore_snapshot` raises for the source."""
    filesystem, path = _located(source)
    summary = _summary(filesystem, path, source)
    target = data / "partitions" / summary.identity.partition_id
    try:
        # The rest is derived from it.
        same = file_sum(target / _STORE_FILE, no_checkpoint) == summary.files.get(_STORE_FILE)
    except OSError:
        same = False
    return summary if same else None


def _located(source: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        filesystem, path = fsspec.core.url_to_fs(source)
    except (ValueError, ImportError) as error:
        raise InvalidArgument("SOURCE_INVALID", f"{source!r} cannot be read: {error}") from error
    except Exception as error:
        raise _source_failed(error, source) from error
    return filesystem, path.rstrip("/")


def _summary(filesystem: fsspec.AbstractFileSystem, path: str, source: str) -> SnapshotSummary:
    try:
        text = filesystem.cat_file(f"{path}/{SUMMARY}").decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            "SNAPSHOT_NOT_FOUND", f"{source} holds no {SUMMARY}; name the directory of a snapshot"
        ) from error
    except Exception as error:
        raise _source_failed(error, source) from error
    return decode_summary(text, source)


def _check_fits(summary: SnapshotSummary, fingerprint: str, partitions: Path, target: Path) -> None:
    identity = summary.identity
    if target.exists():
        raise FailedPrecondition(
            "PARTITION_EXISTS",
            f"{target} exists; move it out of {partitions}, or restore into another data directory",
        )
    if fingerprint and fingerprint != identity.fingerprint:
        raise _mismatch(identity, fingerprint, "the one asked for")
    for other in sorted(partitions.iterdir()):
        if other.name.startswith("."):
            continue
        try:
            theirs = fingerprint_in(other / LMDB)
        except (OSError, UnicodeDecodeError):
            # A damaged neighbour is no reason to keep this one away.
            continue
        if theirs != identity.fingerprint:
            raise _mismatch(identity, theirs, f"that of partition {other.name}")
    if shutil.disk_usage(partitions).free < summary.bytes:
        raise _no_room(partitions, summary)


def _copy(
    filesystem: fsspec.AbstractFileSystem,
    path: str,
    source: str,
    summary: SnapshotSummary,
    staging: Path,
    progress: Progress,
) -> None:
    staging.mkdir()
    done = 0
    progress(done, summary.bytes)
    for name, expected in summary.files.items():
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            for chunk in _chunks(filesystem, f"{path}/{name}", f"{source}/{name}"):
                digest.update(chunk)
                size += len(chunk)
                if size > expected[0]:
                    break
                file.write(chunk)
                progress(done + size, summary.bytes)
        if (size, digest.hexdigest()) != expected:
            raise DataLoss(
                "SNAPSHOT_CORRUPT", f"{source}/{name} fails its checksum; use another snapshot"
            )
        sync_path(target)
        done += size
    for folder in [*(one for one in staging.rglob("*") if one.is_dir()), staging]:
        sync_path(folder)


def _chunks(filesystem: fsspec.AbstractFileSystem, path: str, source: str) -> Iterator[bytes]:
    def guarded(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except FileNotFoundError as error:
            raise DataLoss(
                "SNAPSHOT_CORRUPT", f"{source} is missing; use another snapshot"
            ) from error
        except Exception as error:
            raise _source_failed(error, source) from error

    file: BinaryIO = guarded(lambda: filesystem.open(path, "rb"))
    with file:
        while chunk := guarded(lambda: file.read(_CHUNK_BYTES)):
            yield chunk


def _check_identity(staging: Path, identity: Identity, source: str) -> None:
    try:
        stored = identity_in(staging / LMDB)
    except OSError as error:
        raise DataLoss("SNAPSHOT_CORRUPT", f"{source}: {error}; use another snapshot") from error
    if stored != identity:
        raise DataLoss(
            "SNAPSHOT_CORRUPT",
            f"{source} says that it is {identity.partition_id}, and its store says "
            f"{stored.partition_id} with other facts; use another snapshot",
        )


def _mismatch(identity: Identity, wanted: str, whose: str) -> FailedPrecondition:
    return FailedPrecondition(
        "ENCODER_MISMATCH",
        f"the snapshot holds vectors of {identity.encoder} ({identity.fingerprint}), and {wanted} "
        f"is {whose}: restore it into a collection of its own encoder",
        metadata={"expected": wanted, "given": identity.fingerprint},
    )


def _no_room(data: Path, summary: SnapshotSummary) -> ResourceExhausted:
    return ResourceExhausted(
        "DISK_FULL",
        f"the snapshot is {summary.bytes >> 20} MiB and {data} has "
        f"{shutil.disk_usage(data).free >> 20} MiB free; free space and try again",
    )


def _source_failed(error: Exception, source: str) -> PatchsearchError:
    told = str(error) or type(error).__name__
    return Unavailable("SOURCE_FAILED", f"{source} cannot be read: {told}")
