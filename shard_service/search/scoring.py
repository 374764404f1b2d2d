"""Inner products: fast ones that choose candidates, exact ones that become scores."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

FLOAT32_ERROR = 1e-4
"""No float32 inner product of two unit vectors is off by more: summing d products errs by at most
d * 2**-24 * sum |q_i x_i| (Higham, "Accuracy and Stability", section 3.1), 3.2e-5 at 512-d."""

_EXACT_ROWS = 4096
_DECODE_ROWS = 1024


def exact_scores(query: NDArray[np.float32], vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The scores of (n, d) stored vectors: float64 dot products, rounded to float32.

    Every row is summed in the same order whatever n is, so a pair has one score everywhere.
    """
    wide = query.astype(np.float64)
    scores = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _EXACT_ROWS):
        rows = vectors[start : start + _EXACT_ROWS]
        scores[start : start + _EXACT_ROWS] = (rows.astype(np.float64) * wide).sum(axis=1)
    return scores


def inner_products(
    query: NDArray[np.float32], rows: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Writes the inner products with (n, d) C-contiguous rows into `out` (n,).

    On the calling thread alone (a BLAS would start its own); releases the GIL.
    """
    if len(rows):
        faiss.fvec_inner_products_ny(
            faiss.swig_ptr(out),
            faiss.swig_ptr(query),
            faiss.swig_ptr(rows),
            rows.shape[1],
            len(rows),
        )


def half_inner_products(
    query: NDArray[np.float32], rows: NDArray[np.float16], out: NDArray[np.float32]
) -> None:
    """`inner_products` for float16 rows, widened a cache-sized block at a time."""
    quantizer = faiss.ScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16)
    wide = np.empty((min(_DECODE_ROWS, len(rows)), rows.shape[1]), np.float32)
    for start in range(0, len(rows), _DECODE_ROWS):
        block = rows[start : start + _DECODE_ROWS]
        # NumPy's own widening takes four times as long and keeps the GIL.
        quantizer.decode_c(faiss.swig_ptr(block.view(np.uint8)), faiss.swig_ptr(wide), len(block))
        inner_products(query, wide[: len(block)], out[start : start + len(block)])
