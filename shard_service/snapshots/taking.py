"""Takes a snapshot of a partition while it is searched, written and rebuilt."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from patchsearch.errors import (
    FailedPrecondition,
    InvalidArgument,
    PatchsearchError,
    ResourceExhausted,
    Unavailable,
)
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.derived_files import finished_names, sync_path
from shard_service.snapshots.contents import count_contents
from shard_service.snapshots.layout import (
    LMDB,
    SUMMARY,
    SnapshotSummary,
    encode_summary,
    file_sum,
)
from shard_service.snapshots.staging import Staging, remove_leftovers
from shard_service.store.patch_store import PatchStore

# Files beside LMDB's own that belong to the store and never change while it is open.
_STORE_NOTES = ("salvage.json",)
_LINKED = ("segments", "codebooks")
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_PIECE_BYTES = 4 << 20

Tell = Callable[[str], None]
"""Told what is being done, in words."""


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """What was written: `files` and their `bytes`, `snapshot.json` not counted among the bytes."""

    files: int
    bytes: int
    images: int
    patches: int


def tell_nobody(what: str) -> None:
    """For snapshots that nobody watches."""


def take_snapshot(
    directory: Path,
    store: PatchStore,
    files: threading.Lock,
    destination: str,
    tell: Tell = tell_nobody,
    checkpoint: Checkpoint = no_checkpoint,
) -> SnapshotReport:
    """Copies the partition in `directory` to `destination`, a path or a URL that fsspec knows.

    The store is copied as of one moment. Sealed segments and codebooks never change: they are
    linked first, under `files` so that none goes meanwhile; rows that the store holds and they do
    not are indexed again after a restore. On a local disk the copy is there whole or not at all;
    elsewhere `snapshot.json` comes last, and without it there is no snapshot. `checkpoint` is
    called now and then and may raise to give up: no part of a snapshot is left then. Raises
    InvalidArgument DESTINATION_INVALID, FailedPrecondition DESTINATION_EXISTS, ResourceExhausted
    DISK_FULL, Unavailable DESTINATION_FAILED.
    """
    filesystem, path = _located(destination)
    try:
        if filesystem.exists(path):
            raise _exists(destination)
        with Staging(directory) as pins:
            with files:
                for folder in _LINKED:
                    _link_all(directory / folder, pins.path / folder, no_checkpoint)
            checkpoint()
            if not isinstance(filesystem, LocalFileSystem):
                summary = _filled(pins.path, directory, store, tell, checkpoint)
                sys.audit("patchsearch.shard", "mid-snapshot", str(directory))
                _send(filesystem, path, pins.path, summary, tell, checkpoint)
            else:
                parent = Path(path).parent
                _make_durably(parent)
                remove_leftovers(parent)
                with Staging(parent) as staging:
                    for folder in _LINKED:
                        _link_all(pins.path / folder, staging.path / folder, checkpoint)
                    summary = _filled(staging.path, directory, store, tell, checkpoint)
                    sys.audit("patchsearch.shard", "mid-snapshot", str(directory))
                    _move(staging.path, path, destination)
    except PatchsearchError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise ResourceExhausted(
                "DISK_FULL",
                f"no space left for a snapshot at {destination}; free space and try again",
            ) from error
        raise _failed(error, destination) from error
    except Exception as error:
        # Each of fsspec's file systems has errors of its own.
        raise _failed(error, destination) from error
    return SnapshotReport(len(summary.files) + 1, summary.bytes, summary.images, summary.patches)


def _located(destination: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        filesystem, path = fsspec.core.url_to_fs(destination)
    except (ValueError, ImportError) as error:
        raise InvalidArgument(
            "DESTINATION_INVALID", f"snapshots cannot be written to {destination!r}: {error}"
        ) from error
    except Exception as error:
        raise _failed(error, destination) from error
    return filesystem, path.rstrip("/")


def _filled(
    staging: Path, directory: Path, store: PatchStore, tell: Tell, checkpoint: Checkpoint
) -> SnapshotSummary:
    """Adds the store and `snapshot.json` to the linked files in `staging`; durable on return."""
    tell("snapshot: copying the store")
    (staging / LMDB).mkdir()
    store.copy_to(staging / LMDB, checkpoint)
    for name in _STORE_NOTES:
        with suppress(FileNotFoundError):
            shutil.copyfile(directory / LMDB / name, staging / LMDB / name)
    for path in sorted((staging / LMDB).iterdir()):
        sync_path(path)
    images, patches = count_contents(staging / LMDB, checkpoint)
    sums = {}
    paths = sorted(path for path in staging.rglob("*") if path.is_file())
    for done, path in enumerate(paths):
        tell(f"snapshot: {done} of {len(paths)} files summed")
        sums[str(path.relative_to(staging))] = file_sum(path, checkpoint)
    summary = SnapshotSummary(store.identity, images, patches, sums)
    (staging / SUMMARY).write_text(encode_summary(summary), encoding="utf-8")
    sync_path(staging / SUMMARY)
    for folder in [*(path for path in staging.rglob("*") if path.is_dir()), staging]:
        sync_path(folder)
    return summary


class _Watching(Callback):  # type: ignore[misc]
    """Calls a checkpoint with every piece that a file system says it has sent."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self._checkpoint = checkpoint

    def call(self, *args: Any, **values: Any) -> None:
        self._checkpoint()


def _send(
    filesystem: fsspec.AbstractFileSystem,
    path: str,
    staging: Path,
    summary: SnapshotSummary,
    tell: Tell,
    checkpoint: Checkpoint,
) -> None:
    names = [*summary.files, SUMMARY]
    try:
        for folder in sorted({f"{path}/{name}".rpartition("/")[0] for name in names}):
            filesystem.makedirs(folder, exist_ok=True)
        for done, name in enumerate(names):
            checkpoint()
            tell(f"snapshot: {done} of {len(names)} files sent")
            filesystem.put_file(
                str(staging / name), f"{path}/{name}", callback=_Watching(checkpoint)
            )
    except BaseException:
        # What is left of it would keep the next one from this name.
        with suppress(Exception):
            filesystem.rm(path, recursive=True)
        raise


def _link_all(source: Path, target: Path, checkpoint: Checkpoint) -> None:
    """Makes the derived directories in `source` appear in `target`: hard links, or else copies."""
    target.mkdir()
    for name in finished_names(source):
        (target / name).mkdir()
        for path in sorted((source / name).iterdir()):
            linked = target / name / path.name
            try:
                os.link(path, linked)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                _copy_file(path, linked, checkpoint)
                sync_path(linked)


def _copy_file(source: Path, target: Path, checkpoint: Checkpoint) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        while piece := reading.read(_PIECE_BYTES):
            checkpoint()
            writing.write(piece)


def _move(staging: Path, path: str, destination: str) -> None:
    try:
        staging.rename(path)
    except OSError as error:
        if error.errno in _TAKEN:
            raise _exists(destination) from error
        raise
    sync_path(staging.parent)


def _make_durably(directory: Path) -> None:
    """Makes a directory with its parents; on return their names are durable."""
    if directory.is_dir():
        return
    _make_durably(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_path(directory.parent)


def _exists(destination: str) -> FailedPrecondition:
    return FailedPrecondition(
        "DESTINATION_EXISTS", f"{destination} exists already; choose another name"
    )


def _failed(error: Exception, destination: str) -> Unavailable:
    told = str(error) or type(error).__name__
    return Unavailable(
        "DESTINATION_FAILED", f"the snapshot could not be written to {destination}: {told}"
    )
