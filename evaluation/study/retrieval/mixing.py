"""What more terms in a query add: a text beside a crop, and wrong hits to keep away from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.study.retrieval.judging import Judge
from evaluation.study.retrieval.queries import Query, together
from evaluation.study.retrieval.ranking import ranked, scores_of
from evaluation.study.retrieval.searching import Level, Queries

TEXT_WEIGHTS = (0.25, 0.5, 1.0, 2.0)
AVOID_WEIGHTS = (0.25, 0.5, 1.0)
WRONG_HITS = 4
"""So many wrong hits, the best ones, are marked by whoever looks at the first answer."""


@dataclass(frozen=True, eq=False)
class Mixed:
    """Queries of one setting of a study; the fields as in `Thinned` and `Batch`."""

    option: str
    value: float
    label: str
    kind: str
    n: int
    queries: Queries


def weighted(terms: Sequence[tuple[NDArray[np.float32], float]]) -> NDArray[np.float32]:
    """The unit vector along the weighted sum of unit vectors; a weight below zero pushes away.

    The first term's where the sum is zero.
    """
    total = np.sum([np.float64(weight) * vector for vector, weight in terms], axis=0)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length else terms[0][0], np.float32)


def text_mixes(crops: Queries, texts: Queries) -> Iterator[Mixed]:
    """Each crop alone, then with its class's averaged texts at several weights; the texts alone.

    A text weighs as much as the crop at 1.
    """
    yield Mixed("mixed", 0.0, "one crop", "image", 1, crops)
    for weight in TEXT_WEIGHTS:
        queries = {name: _with_text(crops[name], texts[name], weight) for name in crops}
        yield Mixed("mixed", weight, f"crop + {weight:g} x text", "image+text", 2, queries)
    means = {name: [together(texts[name], "text")] for name in crops}
    yield Mixed("mixed", -1.0, "all wordings, averaged", "text", 0, means)


def _with_text(crops: Sequence[Query], texts: Sequence[Query], weight: float) -> list[Query]:
    words = together(texts, "text")
    return [
        replace(
            crop,
            kind="image+text",
            n=2,
            vector=weighted([(crop.vector, 1.0), (words.vector, weight)]),
            texts=words.texts,
        )
        for crop in crops
    ]


def negative_mixes(level: Level, crops: Queries) -> Iterator[Mixed]:
    """Each crop alone, then with the best wrong hits of its first answer as negative terms.

    The photos of the wrong hits are left out in all of these searches, with and without the
    negative terms: what counts is what the terms teach about other photos. The weights of one
    query's negative terms add up to the setting's value.
    """
    taught: dict[str, list[tuple[Query, NDArray[np.float32]]]] = {}
    for name, some in crops.items():
        vectors = np.stack([query.vector for query in some])
        scored = scores_of(vectors, level.collection)
        taught[name] = [
            _taught(level, level.judges[name], query, scores)
            for query, scores in zip(some, scored, strict=True)
        ]
    for weight in (0.0, *AVOID_WEIGHTS):
        queries = {
            name: [
                replace(
                    query,
                    n=1 + len(wrong),
                    vector=weighted(
                        [(query.vector, 1.0), *((one, -weight / len(wrong)) for one in wrong)]
                    ),
                )
                for query, wrong in some
            ]
            for name, some in taught.items()
        }
        label = f"wrong hits at -{weight:g}" if weight else "one crop"
        yield Mixed("negatives", -weight, label, "image", 1 + WRONG_HITS if weight else 1, queries)


def _taught(
    level: Level, judge: Judge, query: Query, scores: NDArray[np.float32]
) -> tuple[Query, NDArray[np.float32]]:
    """The query without the photos of its best wrong hits, and the vectors of these."""
    order = ranked(scores, level.collection, query.left_out)
    hits = judge.judge(order, query.left_out).hits
    wrong = hits[~judge.relevant[hits]][:WRONG_HITS]
    table = level.collection.table
    left_out = np.union1d(query.left_out, table.photo[wrong].astype(np.int64))
    vectors: NDArray[np.float32] = table.vectors[wrong].astype(np.float32)
    return replace(query, left_out=left_out), vectors
