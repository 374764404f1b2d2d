"""What a retrieval study asks, and how much of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from patchsearch.errors import InvalidArgument

HITS = 16
"""The k of precision@k in the thesis's tables 4.3 and 4.4."""

DEPTHS = (16, 100, 1000)
"""Numbers of hits within which a class's objects are looked for."""

IMAGE_LEVEL = "image"
"""Name of the table with one patch a photo, the whole of it."""

STUDIES = (
    "mixed",
    "negatives",
    "margin",
    "whole-photo",
    "patch-size",
    "patches-per-photo",
    "near-duplicates",
)
"""What is measured beyond the thesis, in the order of the report."""


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """Settings of `run_retrieval`; the defaults are the thesis's where it names them.

    `averages`: how many crops are averaged (eq. 4.1). `queries_per_class`: crops a class at most;
    `draws`: how many sets of n crops are drawn at random where there is a choice. `min_objects`: a
    class with fewer counted objects, or with all of them in one photo, is left out. `clear_side`:
    objects at least so many pixels wide and high are taken as queries first. `margin`: what is
    added to each side of an object's box when it is cut out, as a share of the box.

    `level`: the table that the profiles and studies use; None: the default selector's, or the
    first. `study_crops`: about how many crops the studies ask with, over all classes. `margins`,
    `patches_per_photo`: values that are tried. `similar_limits`: cosines from
    which a patch counts as known; empty: those that leave out about the shares in `dropped`.
    `profiles`: index profiles to measure; `profile_seconds` bounds how long one is searched.
    `gallery_classes`: classes that galleries show. Raises InvalidArgument STUDY_INVALID.
    """

    averages: tuple[int, ...] = (1, 2, 5, 20)
    queries_per_class: int = 20
    draws: int = 10
    min_objects: int = 5
    clear_side: int = 32
    margin: float = 0.1
    level: str | None = None
    studies: tuple[str, ...] = STUDIES
    margins: tuple[float, ...] = (0.0, 0.1, 0.2, 0.5, 1.0)
    study_crops: int = 200
    patches_per_photo: tuple[int, ...] = (1, 2, 5, 10, 20, 35)
    similar_limits: tuple[float, ...] = ()
    dropped: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)
    profiles: tuple[str, ...] = ("exact", "hnsw", "opq64", "graph", "compact")
    profile_seconds: float = 5.0
    gallery_classes: int = 6
    seed: int = 1

    def __post_init__(self) -> None:
        least = min(
            *self.averages,
            *self.patches_per_photo,
            self.queries_per_class,
            self.draws,
            self.min_objects,
        )
        if least < 1:
            raise _invalid("averages, patches per photo, queries, draws and objects are at least 1")
        if self.min_objects < 2:
            raise _invalid("min_objects is 1; a query needs a second object to find")
        if self.margin < 0 or any(value < 0 for value in self.margins):
            raise _invalid("a margin is a share of the box, 0 or more")
        unknown = [name for name in self.studies if name not in STUDIES]
        if unknown:
            raise _invalid(f"no study {unknown[0]!r}; there are {', '.join(STUDIES)}")

    def as_json(self) -> dict[str, Any]:
        """All settings by name."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument("STUDY_INVALID", message)
