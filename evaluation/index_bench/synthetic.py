"""Generated vectors that are as hard as those of overlapping patches of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.table import VECTORS_FILE, Table

_BLOCK_ROWS = 8192
_ROWS_A_CLUSTER = 2000
_GROUP_ROWS = 8
# Eigenvalues of real patch vectors fall with about this power of their number.
_SPECTRUM = 1.05
# Shares of a row's variance: of what kind of thing it shows, and of the thing itself; what is left
# differs between neighbours, which overlap more or less.
_CLUSTER, _OWN_LEAST, _OWN_MOST = 0.35, 0.05, 0.4
_QUERY_OWN = 0.35


def synthetic_table(rows: int, dim: int, queries: int, seed: int, work: Path) -> Table:
    """Writes `rows` unit vectors of `dim` numbers into `work`, and makes queries.

    Low effective rank: the variance along direction i falls as i ** -1.05, in a random basis.
    Clustered: 2000 rows share a centre on average. Near-duplicates: neighbouring rows, 8 on
    average, show one thing. A query shows the thing of a stored row once more. Deterministic by
    all four numbers. Memory is bounded by a block, whatever `rows` is.
    """
    world = _World(rows, dim, seed)
    target = work / VECTORS_FILE
    stored = np.lib.format.open_memmap(target, mode="w+", dtype=np.float16, shape=(rows, dim))
    for block, start in enumerate(range(0, rows, _BLOCK_ROWS)):
        count = min(_BLOCK_ROWS, rows - start)
        stored[start : start + count] = world.rows(block, count)
    stored.flush()
    chosen = np.random.default_rng((seed, 2)).choice(rows, min(queries, rows), replace=False)
    wanted = world.once_more(stored[np.sort(chosen)].astype(np.float32))
    return Table(f"synthetic {rows} x {dim}, seed {seed}", target, wanted, None)


class _World:
    """The basis, the spectrum and the centres that all blocks share."""

    def __init__(self, rows: int, dim: int, seed: int) -> None:
        rng = np.random.default_rng((seed, 0))
        deviations = np.arange(1, dim + 1) ** (-_SPECTRUM / 2)
        basis, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
        # Rows of standard normal numbers times this have the spectrum, along the basis, and
        # length 1 on average.
        shape = deviations / np.linalg.norm(deviations)
        self._colour = (shape[:, None] * basis).astype(np.float32)
        self._seed = seed
        self._centres = rng.standard_normal((max(8, rows // _ROWS_A_CLUSTER), dim), np.float32)

    def rows(self, block: int, count: int) -> NDArray[np.float32]:
        """The unit rows (count, dim) of a block."""
        rng = np.random.default_rng((self._seed, 1, block))
        dim = self._colour.shape[0]
        groups = np.cumsum(rng.random(count) < 1 / _GROUP_ROWS)
        things = int(groups[-1]) + 1
        own = rng.uniform(_OWN_LEAST, _OWN_MOST, things).astype(np.float32)
        centres = self._centres[rng.integers(len(self._centres), size=things)]
        shown = np.sqrt(_CLUSTER) * centres
        shown += np.sqrt(1 - _CLUSTER - own)[:, None] * rng.standard_normal(
            (things, dim), np.float32
        )
        noise = rng.standard_normal((count, dim), np.float32)
        return _unit((shown[groups] + np.sqrt(own)[groups, None] * noise) @ self._colour)

    def once_more(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Another view of each of `rows`."""
        rng = np.random.default_rng((self._seed, 3))
        noise = rng.standard_normal(rows.shape, np.float32) @ self._colour
        return _unit(np.sqrt(1 - _QUERY_OWN) * rows + np.sqrt(_QUERY_OWN) * noise)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32, copy=False)
