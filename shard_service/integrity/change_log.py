"""Which images the last commits changed, noted beside a store: what is uncertain in an older tree.

A ring of entries in one file, `changes`. An entry is written before its commit, so that no commit
goes without one when the process is killed in between; the note of `CommitWitness` says which of
them came to pass. Each opening of the store writes an entry too: commits that were announced before
and are not there then have not come to pass and never will, though their pages may lie about whole.
Only openings are synced: a power loss can take other entries, which then are missing and do not
lie.

An entry, little-endian: 8 bytes that say where one begins, CRC32C of the rest (u32), its length
(u32), serial number, number of the commit, LMDB's number of the transaction, next_sequence behind
it, number of the opening that wrote it (u64 each), count of changes (u32, all ones when they do not
fit into an entry, one less for an opening, whose commit is the last that it found), and for each
change 1 for a write or 2 for a deletion (u8), the version (u64), and the length (u16) and bytes of
the image's id.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

CHANGES = "changes"
RING_BYTES = 1 << 19
"""How large the file is, whatever is written."""

_LARGEST_ENTRY = RING_BYTES // 2
_MARK = b"\x8f\xd1chng\x02\xe3"
_FRONT = struct.Struct("<8sII")
_FACTS = struct.Struct("<QQQQQI")
_CHANGE = struct.Struct("<BQH")
_TOO_MANY = 0xFFFF_FFFF
_OPENING = 0xFFFF_FFFE
_WRITE, _DELETION = 1, 2


@dataclass(frozen=True, slots=True)
class Change:
    """An image that a commit wrote or deleted, at `version`."""

    image_id: bytes
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """An entry. `changes` is None where there were more of them than fit, and of an opening."""

    serial: int
    commits: int
    transaction: int
    next_sequence: int
    opening: int
    changes: tuple[Change, ...] | None
    is_opening: bool = False


@dataclass(frozen=True, slots=True)
class CommitLog:
    """What the ring tells. `commits`: the last entry of each commit, without those of which an
    opening found that they did not come to pass. `opening`: the last one's number, 0 where none is
    known. `found`: how many commits it found; -1 where that is not known."""

    commits: Mapping[int, LoggedCommit]
    opening: int
    found: int

    @property
    def last(self) -> int:
        """The last commit that is known of, be it announced alone; -1 where none is."""
        return max(self.found, *self.commits, -1)

    def allows(self, commits: int, opening: int) -> bool:
        """Whether a tree that tells of `commits` commits, the last one by `opening`, may have been
        committed; True where too little is known."""
        noted = self.commits.get(commits)
        if noted is not None:
            return noted.opening == opening
        if not self.opening or commits <= (self.found if self.found >= 0 else self.last):
            return True
        # A power loss took the entry, or an opening found that it did not come to pass.
        return opening == self.opening


class ChangeLog:
    """Appends entries to `directory`/changes; never fails. One thread at a time."""

    def __init__(self, directory: Path) -> None:
        written, self._at = _entries(_content(directory))
        self._serial = max((entry.serial for entry in written), default=0)
        self._opening = 0
        self._file = open_notes(directory / CHANGES)
        with contextlib.suppress(OSError):
            # Now, since there may be no room when it is needed.
            os.posix_fallocate(self._file.fileno(), 0, RING_BYTES)

    def begin(self, commits: int, opening: int, *, durable: bool) -> None:
        """Notes that the store was opened and has `commits` commits, durably where that is asked.

        `opening` is a number of its own, not 0, and is noted with what is appended from now on.
        """
        self._opening = opening
        self._write(_FACTS.pack(self._next_serial(), commits, 0, 0, opening, _OPENING))
        if durable:
            with contextlib.suppress(OSError):
                os.fdatasync(self._file.fileno())

    def append(
        self, commits: int, transaction: int, next_sequence: int, changes: Sequence[Change]
    ) -> None:
        """Notes what the commit that is about to become the `commits`th changes.

        An entry that the disk refuses is missing, which is no damage.
        """
        facts = (self._next_serial(), commits, transaction, next_sequence, self._opening)
        parts = [_FACTS.pack(*facts, len(changes))]
        for change in changes:
            kind = _DELETION if change.deleted else _WRITE
            parts.append(_CHANGE.pack(kind, change.version, len(change.image_id)))
            parts.append(change.image_id)
        rest = b"".join(parts)
        if _FRONT.size + len(rest) > _LARGEST_ENTRY:
            rest = _FACTS.pack(*facts, _TOO_MANY)
        self._write(rest)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def _write(self, rest: bytes) -> None:
        entry = _FRONT.pack(_MARK, google_crc32c.value(rest), len(rest)) + rest
        if self._at + len(entry) > RING_BYTES:
            self._at = 0
        with contextlib.suppress(OSError):
            os.pwrite(self._file.fileno(), entry, self._at)
        self._at += len(entry)


def open_notes(path: Path) -> BinaryIO:
    """A file to be written in place; one that nobody reads where the disk refuses it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    return os.fdopen(descriptor, "wb", buffering=0)


def read_log(directory: Path) -> CommitLog:
    """The entries beside a store; damaged ones are left out.

    Of several for one commit it is the last: the others did not come to pass.
    """
    known: list[LoggedCommit] = []
    opening, found = 0, -1
    written, _ = _entries(_content(directory))
    for entry in sorted(written, key=lambda one: one.serial):
        if entry.opening != opening:
            opening, found = entry.opening, -1
        # Whoever goes back to an earlier commit goes on from there; an opening is behind its own.
        behind = entry.commits + entry.is_opening
        while known and known[-1].commits >= behind:
            known.pop()
        if entry.is_opening:
            found = entry.commits
        else:
            known.append(entry)
    return CommitLog({entry.commits: entry for entry in known}, opening, found)


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
    serial, commits, transaction, following, opening, count = _FACTS.unpack_from(rest)

    def found(changes: tuple[Change, ...] | None) -> tuple[LoggedCommit, int]:
        told = LoggedCommit(
            serial, commits, transaction, following, opening, changes, count == _OPENING
        )
        return told, start + size

    if count in (_TOO_MANY, _OPENING):
        return found(None)
    changes = []
    place = _FACTS.size
    for _ in range(count):
        kind, version, length = _CHANGE.unpack_from(rest, place)
        place += _CHANGE.size
        changes.append(Change(rest[place : place + length], version, kind == _DELETION))
        place += length
    return found(tuple(changes))
