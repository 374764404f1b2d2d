"""All records that a damaged store still holds whole, found page by page and judged one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from shard_service.integrity.lmdb_pages import IMAGES, META, PATCHES, Snapshot
from shard_service.integrity.meta_items import FORMAT, REQUIRED_KEYS, number
from shard_service.integrity.page_file import PageFile
from shard_service.integrity.page_layout import BIG_DATA, LEAF, SUB_DATA, Columns, read_nodes
from shard_service.integrity.record_check import (
    ImageRow,
    filter_is_whole,
    image_row,
    looks_like_image,
    looks_like_patch,
    patch_owner,
)
from shard_service.integrity.tree_walk import FIRST_TREE_PAGE, Items, Walk, chosen_items

_SEQUENCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file a value lies."""

    at: int
    size: int


@dataclass(eq=False, slots=True)
class Contents:
    """The whole records: `images` by key, `patches` by sequence, and whose each patch is.

    An image's record is a place in the file, or bytes that were made. `meta`: the values of the
    store's own database, as far as they were found. `damaged_images`: keys whose record fails its
    checksum. `damaged_patches`: how many patches do.
    """

    file: PageFile
    store_format: int
    images: dict[bytes, tuple[ImageRow, Place | bytes]] = field(default_factory=dict)
    owners: dict[int, bytes] = field(default_factory=dict)
    patches: dict[int, Place] = field(default_factory=dict)
    meta: dict[bytes, bytes] = field(default_factory=dict)
    damaged_images: set[bytes] = field(default_factory=set)
    damaged_patches: int = 0

    def value(self, place: Place | bytes) -> bytes:
        """The bytes of a record."""
        if isinstance(place, bytes):
            return place
        return self.file.bytes_at(place.at, place.size)

    def whole_images(self) -> Iterator[tuple[bytes, ImageRow, Place | bytes]]:
        """Images, in the order of their keys, of which every patch is there; and tombstones."""
        for key in sorted(self.images):
            row, place = self.images[key]
            if all(self.owners.get(at) == key for at in range(row.first_sequence, row.end)):
                yield key, row, place

    def add(self, key: bytes, place: Place) -> None:
        """Takes a record for what its checksum says that it is."""
        record = self.value(place)
        if len(key) == _SEQUENCE_BYTES:
            owner = patch_owner(record)
            if owner is not None:
                sequence = int.from_bytes(key, "big")
                self.owners[sequence] = owner
                self.patches[sequence] = place
                return
        row = image_row(key, record, self.store_format)
        if row is not None:
            known = self.images.get(key)
            if known is None or row.version > known[0].version:
                self.images[key] = (row, place)
        elif filter_is_whole(key, record):
            return
        elif len(key) == _SEQUENCE_BYTES and looks_like_patch(record):
            self.damaged_patches += 1
        elif looks_like_image(record):
            self.damaged_images.add(key)


def read_contents(snapshot: Snapshot) -> Contents:
    """All whole records of a snapshot.

    With a trusted free list these are the records on all pages that are not free, whether a tree
    still leads there or not: such a page is live. Without it only what the trees lead to is taken,
    for any other page may hold an image that was replaced or deleted.
    """
    file = snapshot.walk.file
    meta = snapshot.values(META)
    contents = Contents(file, number(meta, FORMAT), meta=meta)
    if snapshot.damages and snapshot.free is not None:
        live = _live_pages(snapshot, snapshot.free)
        if not contents.meta:
            contents.meta = next(iter(meta_copies(file, live)), {})
            contents.store_format = number(contents.meta, FORMAT)
        parts = [_items_on(file, snapshot.walk.limit, live)]
    else:
        parts = [snapshot.items[name] for name in (IMAGES, PATCHES) if name in snapshot.items]
    for items in parts:
        for key, place in _places(file, items):
            contents.add(key, place)
    return contents


def all_items(file: PageFile) -> Iterator[tuple[bytes, Place]]:
    """All keys and values on all pages of a file, those of old that still lie about too."""
    everywhere = np.arange(FIRST_TREE_PAGE, file.pages)
    yield from _places(file, _items_on(file, file.pages, everywhere))


def _places(file: PageFile, items: Items) -> Iterator[tuple[bytes, Place]]:
    columns = (items.key_at, items.key_sizes, items.value_at, items.value_sizes)
    for key_at, key_size, at, size in zip(*(c.tolist() for c in columns), strict=True):
        yield file.bytes_at(key_at, key_size), Place(at, size)


def leaf_pages(file: PageFile, pages: Columns) -> Columns:
    """Those of `pages` that say of themselves that they are leaf pages."""
    at = pages * file.page_bytes
    named = file.numbers(at, 8) == pages
    named &= file.numbers(at + 10, 2) == LEAF
    return np.asarray(pages[named])


def meta_copies(file: PageFile, pages: Columns | None = None) -> list[dict[bytes, bytes]]:
    """All copies of the store's own values on `pages`; by default in the file, old ones too."""
    everywhere = np.arange(FIRST_TREE_PAGE, file.pages)
    pages = leaf_pages(file, everywhere if pages is None else pages)
    found = read_nodes(file, pages, LEAF)
    # Few values on one page: what is on many cannot be them.
    counts = np.bincount(found.nodes.owners, minlength=len(pages))
    few = (counts >= len(REQUIRED_KEYS)) & (counts < 2 * len(REQUIRED_KEYS))
    nodes = found.nodes.of(few[found.nodes.owners] & (found.nodes.flags == 0))
    copies: dict[int, dict[bytes, bytes]] = {}
    columns = (nodes.owners, nodes.key_at, nodes.key_sizes, nodes.data_at, nodes.low)
    for owner, key_at, key_size, at, size in zip(*(c.tolist() for c in columns), strict=True):
        copies.setdefault(owner, {})[file.bytes_at(key_at, key_size)] = file.bytes_at(at, size)
    return [copy for copy in copies.values() if copy.keys() >= REQUIRED_KEYS]


def _live_pages(snapshot: Snapshot, free: Columns) -> Columns:
    live = np.ones(snapshot.walk.limit, np.bool_)
    live[:FIRST_TREE_PAGE] = False
    live[free[free < len(live)]] = False
    # Behind its last page lies only what a later commit left that was cut off; where that number is
    # damaged, the trees tell at least of the pages that they lead to.
    behind = slice(max(snapshot.meta.last_page + 1, 0), None)
    live[behind] &= snapshot.walk.used[behind]
    return np.flatnonzero(live)


def _items_on(file: PageFile, limit: int, live: Columns) -> Items:
    """What lies on the leaf pages among `live`, and on overflow pages among them; all of them are
    below `limit`."""
    pages = leaf_pages(file, live)
    found = read_nodes(file, pages, LEAF, BIG_DATA | SUB_DATA)
    walk = Walk(file, limit)
    walk.used[:] = True
    walk.used[live] = False
    walk.used[np.delete(pages, list(found.faults))] = True
    items, _ = walk.values("records", found.nodes)
    return chosen_items(items, items.flags & SUB_DATA == 0)
