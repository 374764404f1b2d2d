"""What to look for: weighted terms, and how to answer.

The query vector is the normalised weighted mean of the terms' unit vectors; a weight below zero
pushes away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchsearch.geometry import Box
from patchsearch.pixels import Pixels
from patchsearch.results import Hit


@dataclass(frozen=True, slots=True)
class Text:
    """A description in words. Longer than the model's token limit is cut, with a warning."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """Pixels that show what is looked for and little else."""

    pixels: Pixels
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A box of a larger picture, in pixels of the upright picture."""

    pixels: Pixels
    box: Box
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class PatchRef:
    """A stored patch, by its image and exact box: "more like this"."""

    image_id: str
    box: Box
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class VectorTerm:
    """A (dim,) vector that the encoder with this fingerprint made; need not be of unit length."""

    vector: NDArray[Any]
    fingerprint: str
    weight: float = 1.0


Term: TypeAlias = Text | Crop | Region | PatchRef | VectorTerm
"""One thing to look for, or to push away from."""

TermLike: TypeAlias = Term | str | Path | bytes | NDArray[Any] | Image.Image | Hit
"""A term, or what stands for one: `str` is a text, a path or picture a crop, a hit its patch."""


class SearchOptions(TypedDict, total=False):
    """How to answer a search; what is left out is the server's default.

    Keys: `k` hits at most, 1 to 1000 (16); `score_threshold` leave out hits with a cosine below it;
    `min_coverage` refuse (Unavailable COVERAGE_TOO_LOW) when less than this share of the partitions
    answered, 0 to 1; `exact` scan every stored vector instead of asking the index; `oversample`
    candidates read from an index for each hit asked for, 1 to 100; `keep_overlapping` keep
    overlapping patches of one image.
    """

    k: int
    score_threshold: float
    min_coverage: float
    exact: bool
    oversample: float
    keep_overlapping: bool


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One search of a batch: terms, and the options of `SearchOptions` (None: server's default)."""

    terms: tuple[TermLike, ...]
    k: int | None = None
    score_threshold: float | None = None
    min_coverage: float | None = None
    exact: bool = False
    oversample: float | None = None
    keep_overlapping: bool = False


def as_term(value: TermLike) -> Term:
    """The term that a value stands for; raises TypeError for a value that stands for none."""
    match value:
        case Text() | Crop() | Region() | PatchRef() | VectorTerm():
            return value
        case str():
            return Text(value)
        case Hit():
            return PatchRef(value.image_id, value.box)
        case np.ndarray() if value.ndim == 1:
            raise TypeError(
                "a vector needs its encoder's fingerprint: VectorTerm(vector, fingerprint)"
            )
        case Path() | bytes() | np.ndarray() | Image.Image():
            return Crop(value)
        case _:
            raise TypeError(
                f"{type(value).__name__} is no search term; use a str (text), a Path or picture "
                "(crop), a Hit, or Text, Crop, Region, PatchRef, VectorTerm"
            )


def as_query(value: Query | TermLike) -> Query:
    """A query as it is, or a query of the one term that a value stands for."""
    return value if isinstance(value, Query) else Query((value,))
