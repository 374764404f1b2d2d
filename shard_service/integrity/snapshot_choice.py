"""Which snapshot of a damaged store is its last one."""

from __future__ import annotations

import numpy as np

from shard_service.integrity.change_log import CommitLog
from shard_service.integrity.contents import leaf_pages
from shard_service.integrity.lmdb_pages import IMAGES, REQUIRED, Snapshot, Structure, read_snapshot
from shard_service.integrity.meta_pages import META_PLACE, MetaPage
from shard_service.integrity.page_file import PageFile
from shard_service.integrity.page_layout import LEAF, SUB_DATA, read_nodes
from shard_service.integrity.tree_walk import FIRST_TREE_PAGE, FREE_LIST, NO_PAGE, TreeRecord

_UNUSED_FREE_LIST = TreeRecord(0, 8, 0, 0, 0, 0, 0, NO_PAGE)


def last_snapshot(structure: Structure, commits: int, log: CommitLog) -> Snapshot | None:
    """The snapshot to salvage; None when nothing can be read.

    `commits` is how many commits the store is known to have had, 0 where that is not known, and
    `log` what is noted of them. The newer of the two meta pages leads to it, unless the meta pages
    are damaged or lead to fewer commits; then the pages that each transaction freed and the store's
    own count of commits tell, and the root of a tree that no meta page leads to any more may be the
    last. That of a commit that was cut off is not, once an opening has found that it is not there.
    """
    file = structure.file
    if file is None:
        return None
    newest, previous = structure.snapshots
    doubted = any(damage.tree == META_PLACE for damage in structure.damages)
    behind = 0 <= newest.commits < commits
    if not doubted and not behind and _is_readable(newest):
        return newest
    best: Snapshot | None = None
    for snapshot in (newest, previous):
        candidate = read_snapshot(file, snapshot.meta, doubted=True)
        if _is_readable(candidate) and (best is None or _is_newer(candidate, best)):
            best = candidate
    for snapshot in _lost_roots(file):
        whole = not snapshot.damages
        if not log.allows(snapshot.commits, snapshot.opening):
            continue
        if best is not None and (snapshot.commits, whole) <= (best.commits, not best.damages):
            continue
        # The last one that was counted, or the one commit that can hide behind a damaged meta page:
        # that may be of long ago, or one that was never finished, so it must be whole.
        following = best is None or snapshot.commits <= best.commits + 1
        if snapshot.commits == commits or (following and whole):
            best = snapshot
    return best


def _is_readable(snapshot: Snapshot) -> bool:
    return snapshot.free is not None or bool(len(snapshot.items.get(IMAGES, ())))


def _is_newer(one: Snapshot, other: Snapshot) -> bool:
    """By the last transaction that freed pages, as every one does; by commits where that is not
    known of both; or else by what the meta pages say."""
    for measure in (_last_freed, lambda snapshot: snapshot.commits):
        mine, its = measure(one), measure(other)
        if mine >= 0 and its >= 0 and mine != its:
            return mine > its
    return one.meta.transaction > other.meta.transaction


def _last_freed(snapshot: Snapshot) -> int:
    freed = snapshot.items.get(FREE_LIST)
    if snapshot.free is None or freed is None or not len(freed):
        return -1
    return int(snapshot.walk.file.numbers(freed.key_at[-1:], 8)[0])


def _lost_roots(file: PageFile) -> list[Snapshot]:
    """Snapshots from every page that could be the root of the main tree, without free list.

    Those with many commits last, and whole ones after others. A root of old leads to pages that
    were written over, and is not whole.
    """
    pages = leaf_pages(file, np.arange(FIRST_TREE_PAGE, file.pages))
    found = read_nodes(file, pages, LEAF, SUB_DATA).nodes
    counts = np.bincount(found.owners, found.flags == SUB_DATA, minlength=len(pages))
    snapshots = []
    for place in np.flatnonzero(counts >= len(REQUIRED)).tolist():
        root = TreeRecord(0, 0, 1, 0, 1, 0, int(counts[place]), int(pages[place]))
        meta = MetaPage(0, 0, file.pages - 1, 0, _UNUSED_FREE_LIST, root, ())
        snapshot = read_snapshot(file, meta, trees_only=True)
        if snapshot.commits >= 0:
            snapshots.append(snapshot)
    return sorted(snapshots, key=lambda one: (one.commits, not one.damages))
