"""A search as the router understands it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter
from patchsearch.geometry import Box

MAX_K = 1000
"""Most hits that a search can ask for."""


@dataclass(frozen=True, slots=True)
class CropTerm:
    """Encoded pixels: all of them, or a region of the upright image."""

    image: bytes
    box: Box | None


@dataclass(frozen=True, slots=True)
class TextTerm:
    """A description in words; not blank."""

    text: str


@dataclass(frozen=True, slots=True)
class PatchTerm:
    """A stored patch."""

    image_id: str
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class VectorTerm:
    """A vector, (d,) float32, finite, not zero, as the caller sent it."""

    vector: NDArray[np.float32]
    fingerprint: str


TermContent = CropTerm | TextTerm | PatchTerm | VectorTerm


@dataclass(frozen=True, slots=True)
class Term:
    """Something to look for, or with a weight below zero to push away from."""

    content: TermContent
    weight: float


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Terms, where to look and how to answer; every number is within its limits."""

    terms: tuple[Term, ...]
    k: int
    score_threshold: float | None
    min_coverage: float
    exact: bool
    oversample: float | None
    keep_overlapping: bool
    filter: Filter | None = None
    ef: int | None = None
    nprobe: int | None = None
