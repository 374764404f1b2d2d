"""What a store has committed, noted beside it: tells that the last commits are missing, and what
they changed.

LMDB takes the newer of two meta pages. A stale copy of the newer one, or of the whole file, is a
perfect store of an earlier moment; only something outside the file can tell.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import google_crc32c

from shard_service.integrity.change_log import Change, ChangeLog, open_notes

WITNESS = "commits"
_NOTE = struct.Struct("<QI")


class CommitWitness:
    """Writes the count of commits to `directory`/commits after each commit was durable, and what
    each one changes to `directory`/changes before.

    The notes themselves are not synced, which would cost as much as the commit: after a power loss
    they may be behind the store, never ahead of it. Both take 5 to 11 us together for a commit of
    one image. Only `opened` syncs, where `durable`. One thread at a time.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._changes = ChangeLog(directory)
        self._file = open_notes(directory / WITNESS)

    def opened(self, commits: int, opening: int) -> None:
        """Notes that the store was opened with `commits` commits, before anybody sees it; never
        fails.

        Other commits that were announced before are not in it, and cannot come back. `opening`
        names whoever commits from now on.
        """
        self._changes.begin(commits, opening, durable=self._durable)
        self.note(commits)

    def announce(
        self, commits: int, transaction: int, next_sequence: int, changes: Sequence[Change]
    ) -> None:
        """Notes what the coming commit, which will be the `commits`th, changes; never fails.

        `transaction` is LMDB's number of it, `next_sequence` what the store will give next.
        """
        self._changes.append(commits, transaction, next_sequence, changes)

    def note(self, commits: int) -> None:
        """Notes that the store has had `commits` durable commits; never fails.

        A note that the disk refuses is one that is behind, which is no damage.
        """
        with contextlib.suppress(OSError):
            os.pwrite(self._file.fileno(), _NOTE.pack(commits, _sum(commits)), 0)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        self._changes.close()


def witnessed_commits(directory: Path) -> int:
    """The count noted beside a store; 0 where there is no note, or a damaged one."""
    try:
        note = (directory / WITNESS).read_bytes()
    except OSError:
        return 0
    if len(note) != _NOTE.size:
        return 0
    commits, checksum = _NOTE.unpack(note)
    return int(commits) if checksum == _sum(commits) else 0


def _sum(commits: int) -> int:
    return int(google_crc32c.value(commits.to_bytes(8, "little")))
