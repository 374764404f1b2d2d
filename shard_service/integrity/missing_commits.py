"""What the commits changed that a damaged store has lost: nothing of that may be answered as it
was before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shard_service.integrity.change_log import Change, read_log
from shard_service.integrity.commit_witness import witnessed_commits
from shard_service.integrity.contents import Contents, Place, all_items
from shard_service.integrity.lmdb_pages import Snapshot, Structure
from shard_service.integrity.meta_items import COMMITS, number, value_faults
from shard_service.integrity.meta_pages import META_PLACE
from shard_service.integrity.record_check import ImageRow, image_row, patch_owner
from shard_service.store.records import encode_tombstone

_SEQUENCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class MissingCommits:
    """The commits behind a snapshot: how many, the last change of each image in them, and a
    sequence that was never given, 0 where that is not known."""

    count: int
    changes: Mapping[bytes, Change]
    next_sequence: int


def missing_commits(
    environment: Path, structure: Structure, snapshot: Snapshot, contents: Contents
) -> MissingCommits | None:
    """What the notes beside the store tell of the commits behind `snapshot`; None when they do not
    tell all of it, or not how many these are."""
    log = read_log(environment)
    following = max((entry.next_sequence for entry in log.commits.values()), default=0)
    witnessed = witnessed_commits(environment)
    newest = structure.snapshots[0].meta
    # Two meta pages that agree lead to the last transaction, or to one of an older file.
    trusted = snapshot.meta.main.root == newest.main.root and not any(
        damage.tree == META_PLACE for damage in structure.damages
    )
    at = snapshot.commits
    if at < 0 and contents.meta and not value_faults(contents.meta):
        at = number(contents.meta, COMMITS)
    if at < 0 and trusted:
        # Its own count is damaged, but LMDB's is not.
        noted = log.commits.get(witnessed)
        if witnessed and (noted is None or noted.transaction > snapshot.meta.transaction):
            return None
        at = witnessed
    if at < 0:
        return None
    if not witnessed and not trusted:
        if log.last < 0:
            return None
        # Announced at least since the store was opened, which is all that can be told without the
        # note. The last one may have been cut off: nobody was told that what it changed was kept.
        witnessed = log.last
    changes: dict[bytes, Change] = {}
    for commits in range(at + 1, witnessed + 1):
        entry = log.commits.get(commits)
        if entry is None or entry.changes is None:
            return None
        changes.update({change.image_id: change for change in entry.changes})
    return MissingCommits(max(witnessed - at, 0), changes, following)


def bring_up_to_date(contents: Contents, missing: MissingCommits) -> set[bytes]:
    """Makes `contents` say nothing that a missing commit changed; returns the ids that are lost.

    Deletions are known whole. What was written is taken from wherever in the file it is found
    whole, which its version and its sequences prove to be the last of it.
    """
    written: dict[bytes, int] = {}
    for key, change in missing.changes.items():
        known = contents.images.pop(key, None)
        if change.deleted:
            row = ImageRow(change.version, 0, 0, tombstone=True)
            contents.images[key] = (row, encode_tombstone(key, change.version))
        elif known is not None and known[0].version == change.version:
            contents.images[key] = known
        else:
            written[key] = change.version
    if written:
        _find(contents, written)
    return {key for key in written if key not in contents.images}


def _find(contents: Contents, written: Mapping[bytes, int]) -> None:
    """Looks on all pages, used or not, for images of these versions and their patches."""
    places: dict[int, list[tuple[bytes, Place]]] = {}
    rows: dict[bytes, tuple[ImageRow, Place]] = {}
    for key, place in all_items(contents.file):
        if key in written:
            row = image_row(key, contents.value(place), contents.store_format)
            if row is not None and row.version == written[key]:
                rows[key] = (row, place)
        if len(key) == _SEQUENCE_BYTES:
            owner = patch_owner(contents.value(place))
            if owner is not None and owner in written:
                places.setdefault(int.from_bytes(key, "big"), []).append((owner, place))
    for key, (row, place) in rows.items():
        found = {
            at: patch
            for at in range(row.first_sequence, row.end)
            for owner, patch in places.get(at, ())
            if owner == key
        }
        if len(found) == row.patch_count:
            contents.images[key] = (row, place)
            contents.patches.update(found)
            contents.owners.update(dict.fromkeys(found, key))
