"""Table 4.3: every query against every level, and the objects it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.study.retrieval.collection import Collection
from evaluation.study.retrieval.figures import object_figures, precision_figures
from evaluation.study.retrieval.judging import Judge, Judged
from evaluation.study.retrieval.queries import Query
from evaluation.study.retrieval.ranking import ranked, scores_of

Queries = Mapping[str, Sequence[Query]]
"""Queries by class."""


@dataclass(frozen=True, eq=False)
class Level:
    """A collection with a judge for each class."""

    collection: Collection
    judges: Mapping[str, Judge]


@dataclass(frozen=True, slots=True)
class Batch:
    """Queries of one kind that make one row of a table.

    `depth`: within how many hits objects are counted; 0: they are not.
    """

    kind: str
    n: int
    queries: Queries
    depth: int = 0


def level_of(collection: Collection, chosen: Mapping[str, NDArray[np.bool_]]) -> Level:
    """`chosen`: which objects are of each class, (m,) bool."""
    return Level(collection, {name: Judge(collection, of) for name, of in chosen.items()})


def ask(level: Level, queries: Queries, *, depth: int = 0) -> dict[str, list[Judged]]:
    """What each query finds in the level; classes without queries are left out.

    `depth` as in `Batch`.
    """
    flat = [(name, query) for name, some in queries.items() for query in some]
    if not flat:
        return {}
    vectors = np.stack([query.vector for _, query in flat])
    out: dict[str, list[Judged]] = {}
    scored = scores_of(vectors, level.collection)
    for (name, query), scores in zip(flat, scored, strict=True):
        order = ranked(scores, level.collection, query.left_out)
        judged = level.judges[name].judge(order, query.left_out, depth=depth)
        out.setdefault(name, []).append(judged)
    return out


def search_rows(
    level: Level, batches: Sequence[Batch], on_batch: Callable[[int], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `search` and of `recall` for one level.

    An average of n crops leaves out n photos, so not every class has one; `single` is the precision
    of one crop over the same classes.
    """
    search, recall = [], []
    single: dict[str, float] = {}
    for number, batch in enumerate(batches):
        found = ask(level, batch.queries, depth=batch.depth)
        head = {"level": level.collection.name, "query": batch.kind, "n": batch.n}
        if found:
            figures = precision_figures(found)
            if (batch.kind, batch.n) == ("image", 1):
                single = {
                    name: one["precision_at_16"]["mean"] for name, one in figures["classes"].items()
                }
            same = [single[name] for name in found if name in single]
            if batch.kind == "image" and len(same) == len(found):
                figures["single"] = round(sum(same) / len(same), 6)
            search.append({**head, **figures})
            if batch.depth:
                recall.append({**head, "map": figures["map"], **object_figures(found)})
        on_batch(number + 1)
    return search, recall
