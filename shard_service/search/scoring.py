"""Exact scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32_ERROR = 1e-4
"""No float32 inner product of two unit vectors is off by more: summing d products errs by at most
d * 2**-24 * sum |q_i x_i| (Higham, "Accuracy and Stability", section 3.1), 3.2e-5 at 512-d."""

_ROWS = 512


def exact_scores(
    query: NDArray[np.float32], vectors: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """The scores of (n, d) stored vectors: float64 dot products, rounded to float32.

    Every row is summed in the same order whatever n is, so a pair has one score everywhere.
    """
    wide = query.astype(np.float64)
    scores = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS].astype(np.float64)
        # A matrix product would sum in an order that depends on n.
        scores[start : start + _ROWS] = np.einsum("ij,j->i", rows, wide)
    return scores
