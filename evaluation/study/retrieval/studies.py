"""What the thesis left open, one row for each setting, with its price."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.study.embedding import Embedder
from evaluation.study.model import PatchTable, StudyDataset
from evaluation.study.retrieval.collection import Collection, joined, subset
from evaluation.study.retrieval.figures import object_figures, precision_figures
from evaluation.study.retrieval.mixing import Mixed, negative_mixes, text_mixes
from evaluation.study.retrieval.options import RetrievalOptions
from evaluation.study.retrieval.queries import Query, cut_objects, image_queries
from evaluation.study.retrieval.searching import Level, Queries, ask, level_of
from evaluation.study.retrieval.thinning import (
    Thinned,
    first_patches,
    new_patches,
    size_groups,
)

_DEPTH = 100


def study_rows(
    dataset: StudyDataset,
    level: Level,
    crops: Queries,
    texts: Queries,
    embedder: Embedder,
    options: RetrievalOptions,
    whole: PatchTable | None,
    on_row: Callable[[str, float], None],
) -> list[dict[str, Any]]:
    """Rows {option, value, label, level, query, n, precision figures, objects, vectors, ...}.

    All settings of one study ask with the same crops and texts. `vectors`, `vectors_per_photo` and
    `vector_bytes` are the price: float16 rows as they are stored. `whole`: the table with one patch
    a photo, for the study that adds it; None: that is left out. `on_row` is told the study and the
    share of the studies that is done.
    """
    few = fewer(crops, options)
    out: list[dict[str, Any]] = []
    for done, name in enumerate(options.studies):
        on_row(name, done / len(options.studies))
        if name == "mixed":
            out += [_mixed_row(level, mixed) for mixed in text_mixes(few, texts)]
        elif name == "negatives":
            out += [_mixed_row(level, mixed) for mixed in negative_mixes(level, few)]
        elif name == "margin":
            margins = _margins(dataset, level, few, embedder, options)
            out += [_mixed_row(level, mixed) for mixed in margins]
        elif name == "whole-photo":
            out += _whole_rows(level, whole, {"image": few, "text": texts})
        else:
            for thinned in _thinned(name, dataset, level.collection, options):
                out += _thinned_rows(level, thinned, {"image": few, "text": texts})
    on_row("studies", 1.0)
    return out


def fewer(crops: Queries, options: RetrievalOptions) -> dict[str, list[Query]]:
    """The first crops of each class, about `study_crops` in all, at least 4 a class."""
    each = max(4, options.study_crops // max(len(crops), 1))
    return {name: list(some[:each]) for name, some in crops.items() if some}


def _thinned(
    name: str, dataset: StudyDataset, collection: Collection, options: RetrievalOptions
) -> Iterator[Thinned]:
    if name == "patch-size":
        return size_groups(collection, dataset)
    if name == "patches-per-photo":
        return first_patches(collection, options.patches_per_photo)
    return new_patches(collection, options)


def _margins(
    dataset: StudyDataset,
    level: Level,
    crops: Mapping[str, list[Query]],
    embedder: Embedder,
    options: RetrievalOptions,
) -> Iterator[Mixed]:
    """The same objects, cut out with more or less of what is around them."""
    objects = level.collection.objects
    numbers = [query.objects[0] for some in crops.values() for query in some]
    for margin in options.margins:
        vectors = embedder.crops(cut_objects(dataset, objects, numbers, margin))
        queries, begin = {}, 0
        for name, some in crops.items():
            end = begin + len(some)
            queries[name] = image_queries(numbers[begin:end], vectors[begin:end], objects)
            begin = end
        yield Mixed("margin", margin, f"{margin:.0%} on each side", "image", 1, queries)


def _mixed_row(level: Level, mixed: Mixed) -> dict[str, Any]:
    head = {"option": mixed.option, "value": mixed.value, "label": mixed.label}
    return _row(head, level, mixed.kind, mixed.n, mixed.queries)


def _thinned_rows(
    level: Level, thinned: Thinned, kinds: Mapping[str, Queries]
) -> list[dict[str, Any]]:
    head = {"option": thinned.option, "value": thinned.value, "label": thinned.label}
    if not len(thinned.rows):
        return []
    part = level
    if len(thinned.rows) < len(level.collection):
        part = level_of(subset(level.collection, thinned.rows), _chosen(level))
    return [_row(head, part, kind, 1, queries) for kind, queries in kinds.items()]


def _whole_rows(
    level: Level, whole: PatchTable | None, kinds: Mapping[str, Queries]
) -> list[dict[str, Any]]:
    """The patches alone, and with each whole photo as one patch more, judged like any other."""
    if whole is None:
        return []
    more = level_of(joined(level.collection, whole), _chosen(level))
    out = []
    for value, label, one in ((0.0, "patches alone", level), (1.0, "and the whole photo", more)):
        head = {"option": "whole-photo", "value": value, "label": label}
        out += [_row(head, one, kind, 1, queries) for kind, queries in kinds.items()]
    return out


def _chosen(level: Level) -> dict[str, NDArray[np.bool_]]:
    return {name: judge.chosen for name, judge in level.judges.items()}


def _row(
    head: Mapping[str, Any], level: Level, kind: str, n: int, queries: Queries
) -> dict[str, Any]:
    found = ask(level, queries, depth=_DEPTH)
    figures = precision_figures(found)
    objects = object_figures(found)
    for name, one in objects["classes"].items():
        figures["classes"][name]["objects"] = one["objects"]
    collection = level.collection
    return {
        **head,
        "level": collection.name,
        "query": kind,
        "n": n,
        **figures,
        "objects": objects["objects"],
        "findable": objects["findable"],
        "vectors": len(collection),
        "vectors_per_photo": round(len(collection) / collection.photos, 2),
        "vector_bytes": collection.vector_bytes,
    }
