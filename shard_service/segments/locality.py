"""An order of rows in which neighbours in space are neighbours in a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAF_ROWS = 64


def locality_order(coordinates: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rows (n, m) in the order of the leaves of a k-d tree: a permutation of n.

    Every block is halved at the median of the coordinate that varies most in it, down to leaves of
    64 rows. The candidates of a query then lie in few pages, and the neighbours in a graph that is
    built in this order in few cache lines. Deterministic.
    """
    order = np.arange(len(coordinates))
    blocks = [(0, len(order))]
    while blocks:
        halves = []
        for start, end in blocks:
            if end - start <= _LEAF_ROWS:
                continue
            rows = order[start:end]
            block = coordinates[rows]
            axis = int(block.var(axis=0).argmax())
            middle = (end - start) // 2
            order[start:end] = rows[np.argpartition(block[:, axis], middle)]
            halves += [(start, start + middle), (start + middle, end)]
        blocks = halves
    return order
