"""Reads many rows of a file at once, without mapping them.

Touching a mapped file makes the kernel map what lies around too, up to two megabytes, all of which
counts as this process's memory; and where memory is short, it waits for one page after the other.
preadv2(2) copies what the page cache holds and names what it lacks, which is then asked for all
together. The loop over the rows is compiled and does without Python's lock.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from shard_service.compiled import compiled

AVAILABLE = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "preadv2")
"""Whether the system has what these functions call; without it none of them may be called."""

_preadv2: Any = types.ExternalFunction(
    "preadv2", types.int64(types.int32, types.uintp, types.int32, types.int64, types.int32)
)
_IN_MEMORY_ONLY = 8
"""RWF_NOWAIT of preadv2(2)."""


def read_rows(file: int, begin: int, rows: NDArray[np.int64], target: NDArray[Any]) -> None:
    """Reads `target[i]`, of (n, d) integers, from row `rows[i]` of those from byte `begin` on.

    Raises OSError when the file ends before a row does, or cannot be read. Thread-safe.
    """
    missing = np.flatnonzero(~read_cached_rows(file, begin, rows, target))
    if not len(missing):
        return
    size = target.itemsize * target.shape[1]
    _ask_for_pages(file, begin + size * rows[missing], size)
    for at in missing.tolist():
        if os.preadv(file, [target[at]], begin + size * int(rows[at])) != size:
            raise OSError("the file ends before the rows in it do")


@compiled(nogil=True)
def read_cached_rows(
    file: int, begin: int, rows: NDArray[np.int64], target: NDArray[Any]
) -> NDArray[np.bool_]:
    """Reads the rows that the page cache holds as `read_rows` does; which ones those are, (n,).

    None of them, where the file system cannot tell. Never waits for a disk.
    """
    size = target.itemsize * target.shape[1]
    cached = np.empty(len(rows), np.bool_)
    # A struct iovec: where to, how many bytes.
    piece = np.empty(2, np.uint64)
    piece[1] = size
    for at in range(len(rows)):
        piece[0] = target.ctypes.data + at * size
        offset = begin + rows[at] * size
        cached[at] = _preadv2(file, piece.ctypes.data, 1, offset, _IN_MEMORY_ONLY) == size
    return cached


def _ask_for_pages(file: int, offsets: NDArray[np.int64], size: int) -> None:
    """Has the kernel begin to read all of the pieces, and waits for none."""
    page = mmap.PAGESIZE
    firsts = np.sort(offsets) // page
    lasts = (np.sort(offsets) + size - 1) // page
    # Runs of pages that touch, so that a page is asked for once.
    begins = np.flatnonzero(np.concatenate(([True], firsts[1:] > lasts[:-1] + 1)))
    ends = np.concatenate((begins[1:], [len(firsts)])) - 1
    for first, last in zip(firsts[begins].tolist(), lasts[ends].tolist(), strict=True):
        os.posix_fadvise(file, first * page, (last - first + 1) * page, os.POSIX_FADV_WILLNEED)
