"""Queries: crops of objects, texts, and averages of several (thesis section 4.1.2, eq. 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from evaluation.relevance import mean_vector
from evaluation.study.model import StudyDataset
from evaluation.study.photo_files import PhotoRefused, read_photo
from evaluation.study.retrieval.capturing import Objects
from patchsearch.errors import NotFound
from patchsearch.geometry import Box


@dataclass(frozen=True, eq=False)
class Query:
    """One query for one class.

    `kind`: image, text or image+text; `n`: how many terms were averaged. `vector (d,) float32`,
    unit. `left_out (photos,) int64`: photos that its crops come from, which do not count.
    `shown`: the objects (by number) and texts it was made of.
    """

    kind: str
    n: int
    vector: NDArray[np.float32]
    left_out: NDArray[np.int64]
    objects: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()


def query_objects(
    objects: Objects, chosen: NDArray[np.bool_], count: int, clear_side: int, seed: int
) -> list[int]:
    """Numbers of up to `count` counted objects to cut out as queries.

    Objects of at least `clear_side` pixels on both sides come first, one a photo in an order drawn
    with `seed`, then further ones of the same photos; then smaller ones, the largest first.
    """
    numbers = np.flatnonzero(chosen & objects.counted)
    numbers = np.random.default_rng(seed).permutation(numbers)
    sides = objects.boxes[:, 2:].min(axis=1)
    clear = [int(i) for i in numbers if sides[i] >= clear_side]
    small = [int(i) for i in numbers if sides[i] < clear_side]
    small.sort(key=lambda i: -int(sides[i]))
    seen: dict[int, int] = {}
    turns = []
    for i in clear:
        photo = int(objects.photo[i])
        seen[photo] = turn = seen.get(photo, -1) + 1
        turns.append(turn)
    order = sorted(range(len(clear)), key=lambda place: turns[place])
    return [*(clear[place] for place in order), *small][:count]


def cut_objects(
    dataset: StudyDataset,
    objects: Objects,
    numbers: Sequence[int],
    margin: float,
    on_photo: Callable[[float], None] = lambda share: None,
) -> list[NDArray[np.uint8]]:
    """Crops `(h, w, 3)` uint8 RGB of the objects, each photo opened once.

    `margin` is added to each side, as a share of the box; what would lie outside the photo is not
    there. `on_photo` is told the share that is done. Raises NotFound PHOTO_MISSING for a photo that
    has gone since the data set was read.
    """
    by_photo: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        by_photo.setdefault(int(objects.photo[number]), []).append(place)
    out: list[NDArray[np.uint8]] = [np.empty((0, 0, 3), np.uint8)] * len(numbers)
    for done, (photo, places) in enumerate(by_photo.items()):
        path = dataset.photos[photo].path
        try:
            pixels = read_photo(path)
        except PhotoRefused as error:
            raise NotFound(
                "PHOTO_MISSING",
                f"{path} cannot be read any more ({error.kind}); run the study anew",
            ) from error
        height, width = pixels.shape[:2]
        for place in places:
            box = widened(Box(*objects.boxes[numbers[place]].tolist()), margin, width, height)
            out[place] = pixels[box.y : box.bottom, box.x : box.right].copy()
        on_photo((done + 1) / len(by_photo))
    return out


def widened(box: Box, margin: float, width: int, height: int) -> Box:
    """The box with `margin` of its sides added on each side, cut at the photo's border."""
    dx, dy = round(box.w * margin), round(box.h * margin)
    return Box(box.x - dx, box.y - dy, box.w + 2 * dx, box.h + 2 * dy).clipped(width, height)


def image_queries(
    numbers: Sequence[int], vectors: NDArray[np.float32], objects: Objects
) -> list[Query]:
    """One query for each crop; row i of `vectors` belongs to object `numbers[i]`."""
    return [
        Query("image", 1, vector, photos_of([number], objects), (number,))
        for number, vector in zip(numbers, vectors, strict=True)
    ]


def text_queries(texts: Sequence[str], vectors: NDArray[np.float32]) -> list[Query]:
    """One query for each wording; no photo is left out."""
    nothing = np.empty(0, np.int64)
    return [
        Query("text", 1, vector, nothing, (), (text,))
        for text, vector in zip(texts, vectors, strict=True)
    ]


def averaged(queries: Sequence[Query], n: int, draws: int, seed: int) -> list[Query]:
    """Averages of n of the queries (eq. 4.1): all sets of n, or `draws` different ones of them.

    Nothing where there are fewer than n queries.
    """
    count = len(queries)
    if n > count:
        return []
    sets: list[tuple[int, ...]]
    if comb(count, n) <= draws:
        sets = list(combinations(range(count), n))
    else:
        rng = np.random.default_rng(seed)
        found: dict[tuple[int, ...], None] = {}
        while len(found) < draws:
            found[tuple(sorted(rng.choice(count, n, replace=False).tolist()))] = None
        sets = list(found)
    return [together([queries[i] for i in chosen], queries[0].kind) for chosen in sets]


def together(queries: Sequence[Query], kind: str) -> Query:
    """One query along the mean of several; none of their photos count."""
    return Query(
        kind,
        len(queries),
        mean_vector([query.vector for query in queries]),
        np.unique(np.concatenate([query.left_out for query in queries])),
        tuple(number for query in queries for number in query.objects),
        tuple(text for query in queries for text in query.texts),
    )


def photos_of(numbers: Sequence[int], objects: Objects) -> NDArray[np.int64]:
    """The photos of these objects, each once."""
    return np.unique(objects.photo[list(numbers)]).astype(np.int64)


def with_enough_left(
    queries: Sequence[Query], objects: Objects, chosen: NDArray[np.bool_], least: int
) -> list[Query]:
    """The queries whose left-out photos leave `least` counted objects of the class to be found."""
    mine = objects.photo[chosen & objects.counted]
    return [query for query in queries if (~np.isin(mine, query.left_out)).sum() >= least]
