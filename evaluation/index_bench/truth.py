"""The exact answers, and recall against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK_ROWS = 8192
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Truth:
    """`least` (q,) float32: the score of each query's k-th best row, in float32."""

    k: int
    least: NDArray[np.float32]

    def recall(
        self,
        answers: Sequence[NDArray[np.int64]],
        queries: NDArray[np.float32],
        vectors: NDArray[np.float16],
    ) -> float:
        """Mean share of the best k rows that each answer holds, 0..1.

        A row belongs to the best k when it scores no less than the k-th of them: which of several
        equal rows is given makes no difference.
        """
        found = 0
        for answer, query, least in zip(answers, queries, self.least, strict=True):
            rows = np.unique(answer[: self.k])
            scores = vectors[rows].astype(np.float32) @ query
            found += min(int((scores >= least - _ROUNDING).sum()), self.k)
        return found / (self.k * len(self.least))


def exact_truth(vectors: NDArray[np.float16], queries: NDArray[np.float32], k: int) -> Truth:
    """Compares every row with every query, (n, dim) and (q, dim), a block of rows at a time.

    With fewer than `k` rows all of them are the best.
    """
    best = np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        scores = queries @ vectors[start : start + _BLOCK_ROWS].astype(np.float32).T
        both = np.concatenate((best, scores), axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    return Truth(k, best.min(axis=1))
