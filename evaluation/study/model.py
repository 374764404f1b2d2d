"""What a study works on: photos with labelled objects, and the patches chosen from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchsearch.geometry import Box


@dataclass(frozen=True)
class StudyObject:
    """One annotated object: its class, its box in pixels of the upright photo, clipped to it.

    `counted`: whether figures speak of it; crowds and objects below the area limit are not counted,
    but a patch that shows one is still right when it is found.
    """

    category: str
    box: Box
    counted: bool


@dataclass(frozen=True)
class StudyPhoto:
    """One photo of a data set; `name` is its file name in the annotations, unique in the set.

    `width` and `height` are those of the upright photo. `digest`: hex sha256 of the file, as it was
    when the data set was read.
    """

    name: str
    path: Path
    width: int
    height: int
    objects: tuple[StudyObject, ...]
    digest: str = ""


@dataclass(frozen=True)
class StudyDataset:
    """A data set as a study sees it. `problems` counts what its annotations had wrong, by kind.

    `groups`: classes to search for that take in several categories (`animal`: moose, deer, ...),
    each with the categories that count as finding it; empty where every category is a class.
    `examples`: up to five instances of each kind of problem, named.
    """

    name: str
    photos: tuple[StudyPhoto, ...]
    categories: tuple[str, ...]
    problems: dict[str, int]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PatchTable:
    """The patches of a data set's photos, row by row.

    `photo (n,) int32`: index into the data set's photos, never descending; `boxes (n, 4) int32`:
    x, y, w, h in pixels; `level (n,) int32` from 1; `score (n,) float32`: S_id (thesis eq. 3.2);
    `vectors (n, d) float16`: unit rows.
    """

    photo: NDArray[np.int32]
    boxes: NDArray[np.int32]
    level: NDArray[np.int32]
    score: NDArray[np.float32]
    vectors: NDArray[np.float16]
