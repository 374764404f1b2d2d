"""The bytes of an LMDB 0.9 data file, for readers that must survive any bytes.

The layout is that of LMDB 0.9 (`struct MDB_page`, `MDB_meta` and `MDB_db` of its mdb.c) as 64-bit
little-endian machines write it: pages of one size, of which the first two are meta pages.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA_FILE = "data.mdb"
DEFAULT_PAGE_BYTES = 4096
PAGE_SIZES = tuple(1 << bits for bits in range(9, 16))
_READ_BYTES = 4 << 20
# Gathers look at 8 bytes at a time, wherever a key or a number ends.
_PADDING = 8
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


class PageFile:
    """A data file as arrays, read-only. `page_bytes` is a power of two that the caller found out.

    Bytes that the disk cannot read are zero here and told in `unreadable`. Bytes behind the last
    whole page are left out. Not to be used while somebody truncates the file.
    """

    def __init__(self, path: Path, page_bytes: int = DEFAULT_PAGE_BYTES) -> None:
        self.page_bytes = page_bytes
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.pages = size // page_bytes
            # Read once before it is mapped: an unreadable sector is an error here, and would be a
            # signal that ends the process there.
            self.unreadable = _unreadable(file.fileno(), size)
            if self.unreadable or size < DEFAULT_PAGE_BYTES:
                data: Any = _without_unreadable(file.fileno(), size, self.unreadable)
            else:
                # Populated at once: a fault for each page would cost more than all the checks.
                data = mmap.mmap(
                    file.fileno(), 0, flags=mmap.MAP_SHARED | _POPULATE, prot=mmap.PROT_READ
                )
        self.size = size
        self.data: NDArray[np.uint8] = np.frombuffer(data, np.uint8)
        self._gatherers = {
            width: np.ndarray((max(size - width + 1, 0),), f"<u{width}", data, strides=(1,))
            for width in (1, 2, 4, 8)
        }

    def numbers(self, at: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """Little-endian unsigned numbers of `width` 1, 2, 4 or 8 bytes at byte offsets `at` (n,).

        Offsets must lie inside the file. Numbers of 2**63 and more come out negative.
        """
        return np.asarray(self._gatherers[width][at].astype(np.int64))

    def words(self, at: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The first `lengths` (n,) bytes, at most 8, at offsets `at`: big-endian, zeros behind.

        Ordered as the bytes are ordered. A length of zero or less gives 0.
        """
        # What ends within the last bytes of the file is read from a little before.
        start = np.clip(at, 0, self.size - _PADDING)
        word = self._gatherers[8][start].byteswap().astype(np.uint64)
        word <<= ((at - start) * 8).clip(0, 63).astype(np.uint64)
        kept = np.clip(lengths, 0, 8)
        spare = ((8 - kept) * 8).astype(np.uint64)
        shifted = (word >> np.minimum(spare, np.uint64(63))) << np.minimum(spare, np.uint64(63))
        return np.where(kept == 0, np.uint64(0), shifted)

    def bytes_at(self, at: int, length: int) -> bytes:
        """Some bytes; fewer where the file ends."""
        return self.data[at : at + length].tobytes()


def _unreadable(descriptor: int, size: int) -> list[int]:
    """Offsets of the pieces that the disk does not give."""
    buffer = bytearray(min(_READ_BYTES, max(size, 1)))
    bad = []
    for at in range(0, size, _READ_BYTES):
        try:
            os.preadv(descriptor, [buffer], at)
        except OSError:
            bad.append(at)
    return bad


def _without_unreadable(descriptor: int, size: int, bad: list[int]) -> bytearray:
    data = bytearray(max(size, _PADDING))
    for at in range(0, size, _READ_BYTES):
        step = DEFAULT_PAGE_BYTES if at in bad else _READ_BYTES
        for piece in range(at, min(at + _READ_BYTES, size), step):
            try:
                read = os.pread(descriptor, min(step, size - piece), piece)
            except OSError:
                continue
            data[piece : piece + len(read)] = read
    return data
