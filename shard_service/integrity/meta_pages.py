"""The two meta pages of an LMDB data file: where the trees of its last two transactions begin.

Transaction T writes meta page T mod 2, from its map size on, after its other pages are durable;
LMDB then takes the one with the higher number. Nothing else tells LMDB that a meta page is damaged
than its magic number and version.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from shard_service.integrity.page_file import DEFAULT_PAGE_BYTES, PAGE_SIZES, PageFile
from shard_service.integrity.page_layout import META, PAGE_HEADER
from shard_service.integrity.tree_walk import NO_PAGE, Damage, TreeRecord

META_PAGES = 2
META_PLACE = "meta pages"
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_INTEGER_KEYS = 8
_MAX_MAP = 1 << 56
_HEADER = struct.Struct("<qHHI")
_FRONT = struct.Struct("<IIQQ")
_BACK = struct.Struct("<QQ")
_TREE_BYTES = 48
_META_BYTES = _FRONT.size + 2 * _TREE_BYTES + _BACK.size


@dataclass(frozen=True, slots=True)
class MetaPage:
    """One meta page as it reads; `faults` tell why it cannot be trusted."""

    index: int
    transaction: int
    last_page: int
    map_bytes: int
    free: TreeRecord
    main: TreeRecord
    faults: tuple[str, ...]

    @property
    def unused(self) -> bool:
        """Whether it is as a new environment has it, before a transaction wrote it."""
        empty = self.main.root == self.free.root == NO_PAGE
        return not self.faults and self.transaction == 0 and empty


def page_bytes_of(path: Path) -> int:
    """The page size that the first meta page tells, or else the second where it can be found."""
    with path.open("rb") as file:
        start = file.read(PAGE_SIZES[-1] + _META_BYTES + PAGE_HEADER)
    for at in (0, *PAGE_SIZES):
        meta = start[at + PAGE_HEADER :]
        if len(meta) < _META_BYTES or _FRONT.unpack_from(meta)[:2] != (_MAGIC, _VERSION):
            continue
        size = int.from_bytes(meta[_FRONT.size : _FRONT.size + 4], "little")
        if size in PAGE_SIZES and at in (0, size):
            return size
    return DEFAULT_PAGE_BYTES


def read_meta_pages(file: PageFile) -> list[MetaPage]:
    """Both of them; the file holds two pages at least."""
    return [_read(file, index) for index in range(META_PAGES)]


def disagreements(metas: list[MetaPage]) -> list[Damage]:
    """What is wrong with each meta page, and with the two taken together."""
    damages = [Damage(META_PLACE, meta.index, fault) for meta in metas for fault in meta.faults]
    older, newer = sorted(metas, key=lambda meta: meta.transaction)
    step = newer.transaction - older.transaction
    if step != 1 and not (metas[0].unused and metas[1].unused):
        damages.append(Damage(META_PLACE, newer.index, f"their transactions are {step} apart"))
    if newer.last_page < older.last_page:
        damages.append(Damage(META_PLACE, newer.index, "the newer one has fewer pages"))
    if newer.map_bytes < older.map_bytes:
        damages.append(Damage(META_PLACE, newer.index, "the newer one has a smaller map"))
    return damages


def _read(file: PageFile, index: int) -> MetaPage:
    raw = file.bytes_at(index * file.page_bytes, PAGE_HEADER + _META_BYTES)
    number, _, page_flags, _ = _HEADER.unpack_from(raw)
    magic, version, address, map_bytes = _FRONT.unpack_from(raw, PAGE_HEADER)
    at = PAGE_HEADER + _FRONT.size
    free = TreeRecord.parse(raw[at : at + _TREE_BYTES])
    main = TreeRecord.parse(raw[at + _TREE_BYTES : at + 2 * _TREE_BYTES])
    last_page, transaction = _BACK.unpack_from(raw, at + 2 * _TREE_BYTES)
    faults = [
        what
        for what, good in (
            ("it is no meta page", (number, page_flags) == (index, META)),
            ("its magic number or version is wrong", (magic, version) == (_MAGIC, _VERSION)),
            ("its page size is wrong", free.extra == file.page_bytes),
            ("it has flags that were not set", free.flags == _INTEGER_KEYS),
            ("it has flags that were not set", (main.flags, main.extra) == (0, 0)),
            ("it has an address that was not set", address == 0),
            ("its number of pages is wrong", META_PAGES - 1 <= last_page < 1 << 48),
            (
                "its map is smaller than its pages, or too large",
                (last_page + 1) * file.page_bytes <= map_bytes < _MAX_MAP,
            ),
            ("its transaction belongs on the other page", _fits(index, transaction)),
        )
        if not good
    ]
    return MetaPage(index, transaction, last_page, map_bytes, free, main, tuple(faults))


def _fits(index: int, transaction: int) -> bool:
    return transaction == 0 or (transaction % META_PAGES == index and transaction < 1 << 62)


def file_bytes(path: Path) -> int:
    """The size of a file; 0 where it is missing."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
