"""Which images the last commits changed, noted beside a store: what is uncertain in an older tree.

A ring of entries in one file, `changes`. An entry is written before its commit, so that no commit
goes without one when the process is killed in between; the note of `CommitWitness` says which of
them came to pass. Nothing is synced: a power loss can take entries, which then are missing and do
not lie.

An entry, little-endian: 8 bytes that say where one begins, CRC32C of the rest (u32), its length
(u32), serial number, number of the commit, LMDB's number of the transaction, next_sequence behind
it (u64 each), count of changes (u32, all ones when they do not fit into an entry), and for each
change 1 for a write or 2 for a deletion (u8), the version (u64), and the length (u16) and bytes of
the image's id.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

CHANGES = "changes"
RING_BYTES = 1 << 19
"""How large the file is, whatever is written."""

_LARGEST_ENTRY = RING_BYTES // 2
_MARK = b"\x8f\xd1chng\x01\xe3"
_FRONT = struct.Struct("<8sII")
_FACTS = struct.Struct("<QQQQI")
_CHANGE = struct.Struct("<BQH")
_TOO_MANY = 0xFFFF_FFFF
_WRITE, _DELETION = 1, 2


@dataclass(frozen=True, slots=True)
class Change:
    """An image that a commit wrote or deleted, at `version`."""

    image_id: bytes
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """An entry. `changes` is None where there were more of them than fit."""

    serial: int
    commits: int
    transaction: int
    next_sequence: int
    changes: tuple[Change, ...] | None


class ChangeLog:
    """Appends entries to `directory`/changes; never fails. One thread at a time."""

    def __init__(self, directory: Path) -> None:
        written, self._at = _entries(_content(directory))
        self._serial = max((entry.serial for entry in written), default=0)
        self._file = open_notes(directory / CHANGES)
        with contextlib.suppress(OSError):
            # Now, since there may be no room when it is needed.
            os.posix_fallocate(self._file.fileno(), 0, RING_BYTES)

    def append(
        self, commits: int, transaction: int, next_sequence: int, changes: Sequence[Change]
    ) -> None:
        """Notes what the commit that is about to become the `commits`th changes.

        An entry that the disk refuses is missing, which is no damage.
        """
        self._serial += 1
        facts = (self._serial, commits, transaction, next_sequence)
        parts = [_FACTS.pack(*facts, len(changes))]
        for change in changes:
            kind = _DELETION if change.deleted else _WRITE
            parts.append(_CHANGE.pack(kind, change.version, len(change.image_id)))
            parts.append(change.image_id)
        rest = b"".join(parts)
        if _FRONT.size + len(rest) > _LARGEST_ENTRY:
            rest = _FACTS.pack(*facts, _TOO_MANY)
        entry = _FRONT.pack(_MARK, google_crc32c.value(rest), len(rest)) + rest
        if self._at + len(entry) > RING_BYTES:
            self._at = 0
        with contextlib.suppress(OSError):
            os.pwrite(self._file.fileno(), entry, self._at)
        self._at += len(entry)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def open_notes(path: Path) -> BinaryIO:
    """A file to be written in place; one that nobody reads where the disk refuses it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    return os.fdopen(descriptor, "wb", buffering=0)


def logged_commits(directory: Path) -> dict[int, LoggedCommit]:
    """The entries beside a store by their commit; damaged ones are left out.

    Of several for one commit it is the last: the others did not come to pass.
    """
    known: list[LoggedCommit] = []
    written, _ = _entries(_content(directory))
    for entry in sorted(written, key=lambda one: one.serial):
        # Whoever goes back to an earlier commit goes on from there.
        while known and known[-1].commits >= entry.commits:
            known.pop()
        known.append(entry)
    return {entry.commits: entry for entry in known}


def _content(directory: Path) -> bytes:
    try:
        with (directory / CHANGES).open("rb") as file:
            return file.read(RING_BYTES)
    except OSError:
        return b""


def _entries(ring: bytes) -> tuple[list[LoggedCommit], int]:
    """The whole entries, and where to write the next one: behind the last that was written."""
    found: list[LoggedCommit] = []
    last, following = -1, 0
    at = ring.find(_MARK)
    while at >= 0:
        entry, end = _entry(ring, at)
        if entry is None:
            end = at + 1
        else:
            found.append(entry)
            if entry.serial > last:
                last, following = entry.serial, end
        at = ring.find(_MARK, end)
    return found, following


def _entry(ring: bytes, at: int) -> tuple[LoggedCommit | None, int]:
    start = at + _FRONT.size
    if start + _FACTS.size > len(ring):
        return None, start
    _, checksum, size = _FRONT.unpack_from(ring, at)
    rest = ring[start : start + size]
    if size < _FACTS.size or len(rest) != size or google_crc32c.value(rest) != checksum:
        return None, start
    serial, commits, transaction, following, count = _FACTS.unpack_from(rest)
    if count == _TOO_MANY:
        return LoggedCommit(serial, commits, transaction, following, None), start + size
    changes = []
    place = _FACTS.size
    for _ in range(count):
        kind, version, length = _CHANGE.unpack_from(rest, place)
        place += _CHANGE.size
        changes.append(Change(rest[place : place + length], version, kind == _DELETION))
        place += length
    return LoggedCommit(serial, commits, transaction, following, tuple(changes)), start + size
