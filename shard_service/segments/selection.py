"""Which rows of a segment may be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """Some of a segment's rows: `count` of them, with their bits set in `bits` (one a row, least
    significant first); None: the first `count` rows, which are all."""

    count: int
    bits: NDArray[np.uint8] | None = None

    def has(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` are selected."""
        if self.bits is None:
            return rows < self.count
        bits = self.bits[rows >> 3] >> (rows & 7).astype(np.uint8)
        return np.asarray(bits & 1 == 1)

    def mask(self, rows: int) -> NDArray[np.bool_]:
        """(rows,) whether each row is selected."""
        if self.bits is None:
            return np.arange(rows) < self.count
        return np.unpackbits(self.bits, count=rows, bitorder="little").view(np.bool_)

    def selector(self) -> Any | None:
        """What FAISS limits a search with; None where all rows are selected. Keep the selection
        alive as long as it is used."""
        return None if self.bits is None else faiss.IDSelectorBitmap(self.bits)


def selected(mask: NDArray[np.bool_]) -> Selection:
    """The selection of the rows whose place in `mask` is True."""
    count = int(np.count_nonzero(mask))
    if count == len(mask):
        return Selection(count)
    return Selection(count, np.packbits(mask, bitorder="little"))
