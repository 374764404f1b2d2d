"""Reads an LMDB environment without LMDB: its trees, its free pages, and whether they agree.

LMDB trusts its file: a damaged page can end the process, or lead to wrong answers, or hide the last
commit. This reader takes any bytes, so it runs before LMDB does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shard_service.integrity.meta_items import COMMITS, OPENING, number
from shard_service.integrity.meta_pages import (
    META_PAGES,
    META_PLACE,
    MetaPage,
    disagreements,
    page_bytes_of,
    read_meta_pages,
)
from shard_service.integrity.page_file import DATA_FILE, PageFile
from shard_service.integrity.page_layout import BIG_DATA, SUB_DATA, Columns
from shard_service.integrity.tree_walk import (
    FREE_LIST,
    NO_PAGE,
    Damage,
    Items,
    TreeRecord,
    Walk,
)

MAIN = "main"
META, IMAGES, PATCHES, FILTERS = "meta", "images", "patches", "filters"
REQUIRED = (META, IMAGES, PATCHES)
_TREE_BYTES = 48


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """What one meta page leads to.

    `items` by tree (databases and the free list), of every page that can be reached and is whole.
    `free` (n,) int64 page numbers of the free list; None where it cannot be trusted. `damages`:
    nothing where all is as LMDB writes it. `entries`: how many items each database should have.
    """

    meta: MetaPage
    walk: Walk
    items: dict[str, Items]
    entries: dict[str, int]
    free: Columns | None
    damages: list[Damage]

    def values(self, database: str) -> dict[bytes, bytes]:
        """All items of a small database."""
        found = self.items.get(database)
        return {} if found is None else dict(found.read(self.walk.file))

    @property
    def commits(self) -> int:
        """The store's own count of commits; -1 where it cannot be read."""
        value = self.values(META).get(COMMITS, b"")
        return int.from_bytes(value, "little") if len(value) == 8 else -1

    @property
    def opening(self) -> int:
        """Which opening of the store wrote the last commit; 0 where it does not say."""
        return number(self.values(META), OPENING)


@dataclass(frozen=True, eq=False, slots=True)
class Structure:
    """The state of an environment: its file, its snapshots with the newest first, its damages.

    `file` is None, and there are no snapshots, when there is no file with two pages.
    """

    file: PageFile | None
    snapshots: list[Snapshot]
    damages: list[Damage]

    @property
    def intact(self) -> bool:
        """Whether LMDB can be trusted with it."""
        return not self.damages


def read_structure(environment: Path) -> Structure:
    """Reads the environment in directory `environment` and checks all but the records themselves.

    Never raises for what the file holds; OSError other than a missing file passes through where
    the file cannot be opened. The environment must not be written meanwhile.
    """
    path = environment / DATA_FILE
    try:
        file = PageFile(path, page_bytes_of(path))
    except FileNotFoundError:
        return Structure(None, [], [Damage(META_PLACE, NO_PAGE, f"{DATA_FILE} is missing")])
    if file.pages < META_PAGES:
        return Structure(None, [], [Damage(META_PLACE, NO_PAGE, f"{DATA_FILE} is cut short")])
    metas = read_meta_pages(file)
    damages = [
        Damage(META_PLACE, at // file.page_bytes, "the disk cannot read it")
        for at in file.unreadable
    ]
    damages += disagreements(metas)
    newer, older = sorted(metas, key=lambda meta: meta.transaction, reverse=True)
    newest = read_snapshot(file, newer)
    damages += newest.damages
    # The older one is needed whole only for salvage; here it tells whether the newer one follows.
    previous = read_snapshot(file, older, only=(META,))
    damages += _missteps(newest, previous)
    return Structure(file, [newest, previous], damages)


def read_snapshot(
    file: PageFile,
    meta: MetaPage,
    only: tuple[str, ...] = (),
    *,
    trees_only: bool = False,
    doubted: bool = False,
) -> Snapshot:
    """All that `meta` leads to.

    With `only`, those databases and no free list; `trees_only` leaves out just the free list. With
    `doubted`, what `meta` says of its transaction and its last page is not held against the rest.
    """
    walk = Walk(file, file.pages if doubted else meta.last_page + 1)
    main = walk.items(MAIN, meta.main, SUB_DATA | BIG_DATA)
    items: dict[str, Items] = {}
    entries: dict[str, int] = {}
    for key, value in main.read(file):
        name = key.decode("utf-8", "replace")
        if len(value) != _TREE_BYTES:
            walk.report(MAIN, NO_PAGE, f"the record of {name!r} is no tree")
            continue
        record = TreeRecord.parse(value)
        if record.flags or record.extra:
            walk.report(name, NO_PAGE, "it has flags that were not set")
        if not only or name in only:
            items[name] = walk.items(name, record)
            entries[name] = record.entries
    if (main.flags != SUB_DATA).any():
        walk.report(MAIN, NO_PAGE, "it holds something that is no tree")
    for name in REQUIRED:
        if not only and name not in items:
            walk.report(name, NO_PAGE, "it is missing")
    free = None
    if not only and not trees_only:
        items[FREE_LIST], free = _free_pages(walk, meta, doubted)
    return Snapshot(meta, walk, items, entries, free, walk.damages)


def _free_pages(walk: Walk, meta: MetaPage, doubted: bool) -> tuple[Items, Columns | None]:
    """The free list and the pages on it, after reporting what is wrong; None for a damaged one."""
    trees_whole = not walk.damages
    items = walk.items(FREE_LIST, meta.free)
    lists = []
    for key, value in items.read(walk.file):
        numbers = np.frombuffer(value[: len(value) & ~7], "<i8")
        if int.from_bytes(key, "little") > meta.transaction and not doubted:
            walk.report(FREE_LIST, NO_PAGE, "it has pages of a later transaction")
        # A list begins with its length, and its numbers fall.
        listed = numbers[1:]
        if not len(numbers) or numbers[0] != len(listed) or (np.diff(listed) >= 0).any():
            walk.report(FREE_LIST, NO_PAGE, "one of its lists is wrong")
        lists.append(listed)
    free: Columns = np.unique(np.concatenate([np.empty(0, np.int64), *lists]))
    cannot_be = (free < META_PAGES) | ((free > meta.last_page) & (not doubted))
    if len(free) != sum(map(len, lists)) or cannot_be.any():
        walk.report(FREE_LIST, NO_PAGE, "it has pages twice, or pages that cannot be")
    if any(damage.tree == FREE_LIST for damage in walk.damages):
        return items, None
    if walk.used[free[free < walk.limit]].any():
        walk.report(FREE_LIST, NO_PAGE, "it has pages that are used")
        # One of the two is damaged: the tree where that showed, or else the list.
        return items, None if trees_whole else free
    # Every page is either used or free; where a tree is damaged, some of its pages are neither.
    accounted = len(free) + int(walk.used.sum())
    if trees_whole and not doubted and accounted != meta.last_page + 1 - META_PAGES:
        walk.report(FREE_LIST, NO_PAGE, "some pages are neither used nor free")
        return items, None
    return items, free


def _missteps(newest: Snapshot, previous: Snapshot) -> list[Damage]:
    """What shows that `newest` does not follow `previous` as one transaction follows another."""
    if previous.commits < 0 or newest.commits < 0:
        return []
    page = newest.meta.index
    if newest.commits - previous.commits not in (0, 1):
        told = f"commits went from {previous.commits} to {newest.commits}"
        return [Damage(META_PLACE, page, told)]
    return []
