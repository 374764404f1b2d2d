"""Walks one B-tree of an LMDB data file, level by level, and tells what is wrong with it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shard_service.integrity.key_order import not_ascending, not_rising
from shard_service.integrity.page_file import PageFile
from shard_service.integrity.page_layout import (
    BIG_DATA,
    BRANCH,
    LEAF,
    OVERFLOW,
    PAGE_HEADER,
    Columns,
    Nodes,
    read_nodes,
)

NO_PAGE = -1
FIRST_TREE_PAGE = 2
_MAX_DEPTH = 32
_SHOWN = 20
_TREE = struct.Struct("<IHH5q")


@dataclass(frozen=True, slots=True)
class TreeRecord:
    """What LMDB notes of a tree: `root` is NO_PAGE while it is empty.

    `extra` is the page size for the free list, and 0 for every other tree here.
    """

    extra: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int

    @classmethod
    def parse(cls, record: bytes) -> TreeRecord:
        """From the 48 bytes of LMDB's `MDB_db`."""
        return cls(*_TREE.unpack(record))


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a data file that LMDB cannot have written; `page` is -1 for no one page."""

    tree: str
    page: int
    detail: str


@dataclass(frozen=True, eq=False, slots=True)
class Items:
    """Keys and values of leaf pages, as columns of offsets and sizes in the file; (n,) int64."""

    key_at: Columns
    key_sizes: Columns
    value_at: Columns
    value_sizes: Columns
    flags: Columns

    def __len__(self) -> int:
        return len(self.key_at)

    def read(self, file: PageFile) -> Iterator[tuple[bytes, bytes]]:
        """The keys with their values."""
        columns = (self.key_at, self.key_sizes, self.value_at, self.value_sizes)
        for key, k, value, v in zip(*(column.tolist() for column in columns), strict=True):
            yield file.bytes_at(key, k), file.bytes_at(value, v)


@dataclass(eq=False, slots=True)
class Walk:
    """What walks of one snapshot share: which pages were used (by their numbers), what is wrong.

    `limit` is the number behind the last page that may be used.
    """

    file: PageFile
    limit: int
    used: NDArray[np.bool_] = field(init=False)
    damages: list[Damage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limit = max(min(self.limit, self.file.pages), 0)
        self.used = np.zeros(self.limit, np.bool_)

    def report(self, tree: str, page: int, detail: str) -> None:
        """Notes a damage."""
        self.damages.append(Damage(tree, page, detail))

    def claim(self, tree: str, pages: Columns) -> NDArray[np.bool_]:
        """Which of `pages` may be used: inside the file and used by nothing else so far."""
        inside = (pages >= FIRST_TREE_PAGE) & (pages < self.limit)
        fresh = inside.copy()
        fresh[inside] = ~self.used[pages[inside]]
        once = np.zeros(len(pages), np.bool_)
        once[np.unique(pages, return_index=True)[1]] = True
        fresh &= once
        for page in pages[~inside][:_SHOWN].tolist():
            self.report(tree, page, "a pointer leads outside the file")
        for page in pages[inside & ~fresh][:_SHOWN].tolist():
            self.report(tree, page, "it is used twice")
        self.used[pages[fresh]] = True
        return fresh

    def items(self, tree: str, record: TreeRecord, leaf_flags: int = BIG_DATA) -> Items:
        """All items of a tree that can be reached, in its order; what is wrong is reported."""
        if record.root == NO_PAGE:
            if record.depth or record.entries or record.leaf_pages or record.branch_pages:
                self.report(tree, NO_PAGE, "it is empty but does not say so")
            return _no_items()
        if not 1 <= record.depth <= _MAX_DEPTH:
            self.report(tree, NO_PAGE, f"its depth is {record.depth}")
            return _no_items()
        before = len(self.damages)
        pages = np.array([record.root], np.int64)
        levels: list[Nodes] = []
        branches = 0
        for level in range(record.depth):
            pages = pages[self.claim(tree, pages)]
            kind = LEAF if level == record.depth - 1 else BRANCH
            found = read_nodes(self.file, pages, kind, leaf_flags)
            for place, fault in found.faults.items():
                self.report(tree, int(pages[place]), fault)
            levels.append(found.nodes)
            if kind == BRANCH:
                branches += len(pages)
                pages = found.nodes.low
        items, overflow = self.values(tree, levels[-1])
        if len(self.damages) == before:
            seen = (branches, len(pages), overflow, len(items))
            noted = (record.branch_pages, record.leaf_pages, record.overflow_pages, record.entries)
            if seen != noted:
                self.report(tree, NO_PAGE, f"it has {seen} pages and entries, not {noted}")
            self._check_order(tree, levels, items)
        return items

    def values(self, tree: str, leaf: Nodes) -> tuple[Items, int]:
        """The items of leaf nodes, without those whose overflow pages are wrong, and how many
        overflow pages there are."""
        items = Items(leaf.key_at, leaf.key_sizes, leaf.data_at.copy(), leaf.low, leaf.flags)
        big = np.flatnonzero(leaf.flags & BIG_DATA)
        if not len(big):
            return items, 0
        first = self.file.numbers(leaf.data_at[big], 8)
        counts = self._claim_runs(tree, first, leaf.low[big])
        items.value_at[big] = first * self.file.page_bytes + PAGE_HEADER
        good = np.ones(len(items), np.bool_)
        good[big] = counts > 0
        return (items if good.all() else chosen_items(items, good)), int(counts.sum())

    def _claim_runs(self, tree: str, first: Columns, value_sizes: Columns) -> Columns:
        """Claims overflow pages for values of these sizes; how many each, 0 where they are wrong.

        A run stands for itself: it begins with its number, its flags and its length.
        """
        size = self.file.page_bytes
        inside = (first >= FIRST_TREE_PAGE) & (first < self.limit)
        at = np.where(inside, first, 0) * size
        counts = self.file.numbers(at + 12, 4)
        good = inside & (self.file.numbers(at, 8) == first)
        good &= self.file.numbers(at + 10, 2) == OVERFLOW
        good &= (counts * size >= value_sizes + PAGE_HEADER) & (first + counts <= self.limit)
        counts = np.where(good, counts, 0)
        if counts.sum() > self.limit:
            # Damaged lengths could ask for more memory than there is.
            good[:], counts = False, np.zeros_like(counts)
        ends = np.cumsum(counts)
        owners = np.repeat(np.arange(len(first)), counts)
        pages = first[owners] + np.arange(len(owners)) - np.repeat(ends - counts, counts)
        known = len(self.damages)
        good[owners[~self.claim(tree, pages)]] = False
        if len(self.damages) == known:
            for place in np.flatnonzero(~good)[:_SHOWN].tolist():
                self.report(tree, int(first[place]), "it does not hold the value that it should")
        return np.where(good, counts, 0)

    def _check_order(self, tree: str, levels: list[Nodes], items: Items) -> None:
        """Keys rise, and the keys of branch pages lie between those that they part."""
        file = self.file
        if tree == FREE_LIST:
            if (items.key_sizes != 8).any() or not_rising(file, items.key_at).any():
                self.report(tree, NO_PAGE, "its keys do not rise")
            return
        keys = (items.key_at, items.key_sizes)
        rising = not_ascending(
            file, _taken(keys, slice(None, -1)), _taken(keys, slice(1, None)), or_equal=False
        )
        if rising.any():
            at = int(items.key_at[np.flatnonzero(rising)[0] + 1])
            self.report(tree, at // file.page_bytes, "its keys do not rise")
        # From the leaves up: the place among all keys of the first key below each node.
        first_keys = np.flatnonzero(_begins(levels[-1].owners))
        for nodes in reversed(levels[:-1]):
            inner = ~_begins(nodes.owners)
            places = first_keys[inner]
            parting = (nodes.key_at[inner], nodes.key_sizes[inner])
            wrong = not_ascending(file, parting, _taken(keys, places), or_equal=True)
            wrong |= not_ascending(file, _taken(keys, places - 1), parting, or_equal=False)
            for place in np.flatnonzero(wrong)[:_SHOWN].tolist():
                page = int(parting[0][place]) // file.page_bytes
                self.report(tree, page, "a key does not part what lies below it")
            first_keys = first_keys[~inner]


FREE_LIST = "free list"


def chosen_items(items: Items, chosen: NDArray[np.bool_]) -> Items:
    """Those where `chosen` (n,) is true."""
    return Items(
        items.key_at[chosen],
        items.key_sizes[chosen],
        items.value_at[chosen],
        items.value_sizes[chosen],
        items.flags[chosen],
    )


def _taken(keys: tuple[Columns, Columns], which: slice | Columns) -> tuple[Columns, Columns]:
    return keys[0][which], keys[1][which]


def _begins(owners: Columns) -> NDArray[np.bool_]:
    """Which nodes are the first of their page."""
    return np.append(True, owners[1:] != owners[:-1])[: len(owners)]


def _no_items() -> Items:
    return Items(*(np.empty(0, np.int64) for _ in range(5)))
