"""Float16 rows that FAISS and NumPy read in place: mapped from a file, or growing in memory.

They lie in a FAISS `IndexScalarQuantizer` of IEEE halves, whose file is a short header and the rows
one after the other. Its kernels widen and multiply a row in a fifteenth of the time that NumPy
takes, on the calling thread, without the GIL.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from shard_service.index.index_files import read_index_file, view_index
from shard_service.index.scattered_reads import AVAILABLE, read_rows
from shard_service.index.threads import use_threads

MOST_SINGLE_ROWS = 512
"""More rows than these at once are a scan, which maps what it reads."""

# What a mapping begins at a multiple of, so that rows in it can.
_ALIGNED = 64


@dataclass(frozen=True, slots=True)
class RowFile:
    """An open file in which rows lie one after the other from byte `begin` on."""

    number: int
    begin: int


class HalfRows:
    """(n, dim) float16 rows around an `IndexScalarQuantizer`. Thread-safe to read.

    `rows` (n, 2 dim) uint8 are their bytes, which a file need not align. `file` is where single
    rows are better read than in memory, if anywhere.
    """

    file: RowFile | None = None

    def __init__(self, index: Any, rows: NDArray[np.uint8]) -> None:
        self.index = index
        self._rows = rows

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """A copy of some rows, (n, dim)."""
        return self._rows[rows].view(np.float16)

    def block(self, start: int, end: int) -> NDArray[np.float16]:
        """A copy of a run of rows, (end - start, dim)."""
        return self._rows[start:end].copy().view(np.float16)

    def best(
        self, query: NDArray[np.float32], count: int, selector: Any | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """At most `count` rows of the largest inner products, exact to float32, best first.

        `selector` is a FAISS ID selector. Reads every selected row.
        """
        use_threads(1)
        parameters = None if selector is None else faiss.SearchParameters(sel=selector)
        scores, rows = self.index.search(query[None, :], count, params=parameters)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]


def map_half_rows(path: Path) -> HalfRows:
    """Maps a file that `write_half_rows` wrote; raises OSError when it is none."""
    index = read_index_file(path, faiss.IO_FLAG_MMAP_IFC)
    if not isinstance(index, faiss.IndexScalarQuantizer):
        raise OSError(f"{path.name} holds no rows but an index of another kind")
    size = index.ntotal * index.d * 2
    if index.codes.size() != size:
        raise OSError(f"{path.name} holds {index.codes.size()} bytes of rows, not {size}")
    rows = np.empty(0, np.uint8)
    if size:
        rows = faiss.rev_swig_ptr(index.codes.data(), size)
        _expect_random_reads(rows)
    return StoredHalfRows(path, index, rows.reshape(index.ntotal, 2 * index.d))


class StoredHalfRows(HalfRows):
    """The rows in the file `path`, mapped as `rows`. Single rows are read from the file, where the
    kernel can, so that only scans make mapped pages count as this process's memory."""

    def __init__(self, path: Path, index: Any, rows: NDArray[np.uint8]) -> None:
        super().__init__(index, rows)
        if AVAILABLE:
            number = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, number)
            os.posix_fadvise(number, 0, 0, os.POSIX_FADV_RANDOM)
            self.file = RowFile(number, len(_header(index.d, 0)))

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """A copy of some rows, (n, dim). Raises OSError when the file cannot be read."""
        if self.file is None or len(rows) > MOST_SINGLE_ROWS:
            return super().vectors(rows)
        halves = np.empty((len(rows), self.index.d), np.uint16)
        read_rows(self.file.number, self.file.begin, rows, halves)
        return halves.view(np.float16)


class GrowingHalfRows(HalfRows):
    """Room for `capacity` rows, filled from the front. One thread may append while others read
    the rows that were there before."""

    def __init__(self, dim: int, capacity: int) -> None:
        header = _header(dim, capacity)
        # Pages that nobody wrote to take no memory: room costs nothing until it is filled.
        room = np.frombuffer(mmap.mmap(-1, _ALIGNED + len(header) + capacity * dim * 2), np.uint8)
        start = -len(header) % _ALIGNED
        file = room[start : len(room) - (_ALIGNED - start)]
        file[: len(header)] = np.frombuffer(header, np.uint8)
        index = view_index(file)
        index.ntotal = 0
        memory = file[len(header) :]
        super().__init__(index, memory.reshape(capacity, 2 * dim))
        self._halves = memory.view(np.float16).reshape(capacity, dim)
        self.capacity = capacity

    def fill(self, start: int, vectors: NDArray[np.floating[Any]]) -> None:
        """Writes rows behind all that are there, then lets searches see them."""
        self._halves[start : start + len(vectors)] = vectors
        self.index.ntotal = start + len(vectors)


def _expect_random_reads(mapped: NDArray[np.uint8]) -> None:
    """Tells the kernel not to read what lies around a page: it would push out other pages."""
    if sys.platform != "linux":
        return
    page = mmap.PAGESIZE
    start = -(-mapped.ctypes.data // page) * page
    size = mapped.ctypes.data + mapped.nbytes - start
    if size > 0:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_RANDOM)


def write_half_rows(path: Path, dim: int, rows: int, blocks: Iterator[NDArray[np.float16]]) -> None:
    """Writes `rows` rows of `blocks` as a file for `map_half_rows`; raises OSError."""
    header = _header(dim, rows)
    # Written, not mapped: a full disk is then an error and not a signal that ends the process.
    with path.open("wb") as file:
        file.write(header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, "<f2").tobytes())


def _header(dim: int, rows: int) -> bytes:
    index = _empty_index(dim)
    empty: bytes = faiss.serialize_index(index).tobytes()
    # The number of rows stands behind four letters and the dimension; the number of bytes of
    # codes, which is zero here, at the end. Reading checks one against the other.
    counted = empty[:8] + rows.to_bytes(8, "little") + empty[16:]
    return counted[:-8] + (rows * dim * 2).to_bytes(8, "little")


def _empty_index(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
