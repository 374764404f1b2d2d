"""From weighted term vectors to one query vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import InvalidArgument

MAX_TERMS = 256
"""Most terms in a query."""

CANCELLED_NORM = 1e-6
"""A weighted mean shorter than this points nowhere that could be told from rounding."""


def check_weights(weights: Sequence[float]) -> None:
    """Refuses weights that make no query.

    Raises InvalidArgument QUERY_EMPTY without terms, BATCH_OUT_OF_RANGE over `MAX_TERMS`,
    WEIGHT_INVALID for 0, NaN and infinity, QUERY_NEGATIVE_ONLY when nothing is looked for: pushing
    away from something leaves every direction of the space but one, so that such an answer would be
    noise that looks like a result.
    """
    if not weights:
        raise InvalidArgument(
            "QUERY_EMPTY", "the query has no terms; send a crop, a text, a patch or a vector"
        )
    if len(weights) > MAX_TERMS:
        raise InvalidArgument(
            "BATCH_OUT_OF_RANGE",
            f"the query has {len(weights)} terms; at most {MAX_TERMS} make one query",
        )
    for position, weight in enumerate(weights):
        if not math.isfinite(weight) or weight == 0.0:
            raise InvalidArgument(
                "WEIGHT_INVALID",
                f"term {position} has weight {weight}; weights are finite numbers other than 0",
                metadata={"term": str(position)},
            )
    if not any(weight > 0.0 for weight in weights):
        raise InvalidArgument(
            "QUERY_NEGATIVE_ONLY",
            "every term has a negative weight, so nothing is looked for; "
            "add a term with a positive weight",
        )


def compose_query(vectors: NDArray[np.floating], weights: Sequence[float]) -> NDArray[np.float32]:
    """The normalised weighted mean of the terms' unit vectors (thesis eq. 4.1).

    `vectors` is (n, d), finite, no row zero; rows are brought to unit length first, so that a
    weight means the same for every term. Negative weights push away. Returns (d,) float32 of unit
    length. Raises what `check_weights` raises, and InvalidArgument QUERY_EMPTY when the terms
    cancel out.
    """
    check_weights(weights)
    unit = unit_rows(vectors)
    shares = np.asarray(weights, dtype=np.float64)
    # Divided by the largest first: weights near the end of float64's range must not overflow.
    shares = shares / np.abs(shares).max()
    mean = shares @ unit / np.abs(shares).sum()
    length = float(np.linalg.norm(mean))
    if length < CANCELLED_NORM:
        raise InvalidArgument(
            "QUERY_EMPTY",
            "the terms cancel each other out, so nothing is looked for; "
            "change their weights or leave one out",
        )
    return np.asarray(mean / length, dtype=np.float32)


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The (n, d) rows as float64 of unit length. No row may be zero."""
    wide = np.asarray(vectors, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), dtype=np.float64)
