"""What to look for: weighted terms, where, and how to answer.

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

from patchsearch.filter_text import parse_filter
from patchsearch.filters import (
    AllOf,
    AnyOf,
    Exists,
    Filter,
    ImageIdPrefix,
    Match,
    Not,
    NumberRange,
    TimeRange,
)
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


FilterLike: TypeAlias = Filter | str
"""A filter, or its text form (`filter_text`)."""


class SearchOptions(TypedDict, total=False):
    """How to answer a search; what is left out is the server's default.

    Keys: `k` hits at most, 1 to 1000 (16); `score_threshold` leave out hits with a cosine below it;
    `min_coverage` refuse (Unavailable COVERAGE_TOO_LOW) when less than this share of the partitions
    answered, 0 to 1; `exact` scan every stored vector instead of asking the index; `oversample`
    candidates read from an index for each hit asked for, 1 to 100; `keep_overlapping` keep
    overlapping patches of one image; `filter` find patches of images that meet it alone; `ef` beam
    width of graph indexes, 1 to 4096; `nprobe` cells that inverted-file indexes look into, 1 to
    65536.
    """

    k: int
    score_threshold: float
    min_coverage: float
    exact: bool
    oversample: float
    keep_overlapping: bool
    filter: FilterLike
    ef: int
    nprobe: int


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
    filter: FilterLike | None = None
    ef: int | None = None
    nprobe: int | None = None


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


def as_filter(value: FilterLike) -> Filter:
    """A filter as it is, or the one that a text writes.

    Raises InvalidArgument FILTER_INVALID for a text that cannot be read, and TypeError for a value
    that is no filter.
    """
    match value:
        case str():
            return parse_filter(value)
        case (
            AllOf()
            | AnyOf()
            | Not()
            | Match()
            | NumberRange()
            | TimeRange()
            | Exists()
            | ImageIdPrefix()
        ):
            return value
        case _:
            raise TypeError(
                f"{type(value).__name__} is no filter; use a condition such as "
                'Field("speed") > 10, several joined by & and |, or their text form'
            )


def as_query(value: Query | TermLike) -> Query:
    """A query as it is, or a query of the one term that a value stands for."""
    return value if isinstance(value, Query) else Query((value,))
