"""What lies on tree pages of an LMDB data file: their headers and nodes, for many pages at once.

A page begins with its number (u64), 2 bytes without meaning, flags (u16), and where its free space
begins and ends (u16 each); offsets of its nodes (u16 each, in key order) follow, and the nodes fill
the page from its end. A node is data size or child page (u32), flags (u16; more of the child's
number on branch pages), key size (u16), key, data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shard_service.integrity.page_file import PageFile

BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
PAGE_HEADER = 16
NODE_HEADER = 8
BIG_DATA, SUB_DATA = 1, 2
MAX_KEY = 511

Columns = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Nodes:
    """The nodes of some pages, page by page, in key order within each.

    (n,) int64 columns: `owners`, the place of the node's page among the pages asked for; `flags`;
    `key_at` and `key_sizes`, where in the file the key lies; `low`, the data size on leaf pages and
    the child on branch pages; `data_at`, where the data lies (or the number of its first overflow
    page). Only pages without a fault have nodes here.
    """

    owners: Columns
    flags: Columns
    key_at: Columns
    key_sizes: Columns
    low: Columns
    data_at: Columns

    def of(self, chosen: NDArray[np.bool_]) -> Nodes:
        """Those where `chosen` (n,) is true."""
        return Nodes(
            self.owners[chosen],
            self.flags[chosen],
            self.key_at[chosen],
            self.key_sizes[chosen],
            self.low[chosen],
            self.data_at[chosen],
        )


@dataclass(frozen=True, eq=False, slots=True)
class PageNodes:
    """`nodes` of the good ones of some pages, and `faults`: place of a page -> what is wrong."""

    nodes: Nodes
    faults: dict[int, str]


def read_nodes(file: PageFile, pages: Columns, kind: int, leaf_flags: int = BIG_DATA) -> PageNodes:
    """Reads and checks pages that should be of `kind` BRANCH or LEAF.

    `pages` (n,) are numbers inside the file. `leaf_flags` are the node flags that may be set.
    A page is good when its number, flags and bounds are right and its nodes fill the page from the
    end without gap or overlap, as LMDB always leaves them.
    """
    size = file.page_bytes
    starts = pages * size
    faults: dict[int, str] = {}

    def condemn(bad: NDArray[np.bool_], places: Columns, what: str) -> None:
        for place in np.unique(places[bad]).tolist():
            faults.setdefault(place, what)

    every = np.arange(len(pages))
    lower, upper = file.numbers(starts + 12, 2), file.numbers(starts + 14, 2)
    condemn(file.numbers(starts, 8) != pages, every, "it says that it is another page")
    name = "branch" if kind == BRANCH else "leaf"
    condemn(file.numbers(starts + 10, 2) != kind, every, f"it is no {name} page")
    bad = (lower <= PAGE_HEADER) | (lower & 1 != 0) | (lower > upper) | (upper >= size)
    condemn(bad, every, "its bounds are wrong")
    good = every[~_marked(faults, len(pages))]

    counts = (lower[good] - PAGE_HEADER) >> 1
    owners = np.repeat(good, counts)
    ends = np.cumsum(counts)
    index = np.arange(len(owners)) - np.repeat(ends - counts, counts)
    offsets = file.numbers(starts[owners] + PAGE_HEADER + 2 * index, 2)
    bad = (offsets < upper[owners]) | (offsets > size - NODE_HEADER) | (offsets & 1 != 0)
    condemn(bad, owners, "a node lies outside it")
    kept = ~_marked(faults, len(pages))[owners]
    owners, offsets = owners[kept], offsets[kept]

    at = starts[owners] + offsets
    low = file.numbers(at, 4)
    flags = file.numbers(at + 4, 2)
    key_sizes = file.numbers(at + 6, 2)
    if kind == BRANCH:
        low += flags << 32
        taken = NODE_HEADER + key_sizes
        bad = key_sizes > MAX_KEY
    else:
        taken = NODE_HEADER + key_sizes + np.where(flags & BIG_DATA, 8, low)
        bad = (key_sizes < 1) | (key_sizes > MAX_KEY) | (flags & ~leaf_flags != 0)
    condemn(bad, owners, "a node has a key or flags that cannot be")
    condemn(offsets + taken > size, owners, "a node ends outside it")
    gaps = _untiled(owners, offsets, taken + (taken & 1), upper, size)
    condemn(gaps, owners, "its nodes do not fill it")
    kept = ~_marked(faults, len(pages))[owners]
    nodes = Nodes(owners, flags, at + NODE_HEADER, key_sizes, low, at + NODE_HEADER + key_sizes)
    return PageNodes(nodes if kept.all() else nodes.of(kept), faults)


def _untiled(
    owners: Columns, offsets: Columns, taken: Columns, upper: Columns, size: int
) -> NDArray[np.bool_]:
    """Which nodes do not end where the next one of their page, or the page itself, does."""
    wrong = np.zeros(len(owners), np.bool_)
    if not len(owners):
        return wrong
    order = np.argsort(owners * (2 * size) + offsets)
    owners, offsets, taken = owners[order], offsets[order], taken[order]
    last = np.append(owners[1:] != owners[:-1], True)
    first = np.append(True, last[:-1])
    following = np.where(last, size, np.append(offsets[1:], size))
    wrong[order] = (offsets + taken != following) | (first & (offsets != upper[owners]))
    return wrong


def _marked(faults: dict[int, str], count: int) -> NDArray[np.bool_]:
    marks = np.zeros(count, np.bool_)
    marks[list(faults)] = True
    return marks
