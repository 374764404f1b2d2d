"""All queries of a study, made from the data set's own objects and its classes' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.study.embedding import Embedder
from evaluation.study.model import StudyDataset
from evaluation.study.retrieval.capturing import Objects, of_categories
from evaluation.study.retrieval.concepts import Concepts
from evaluation.study.retrieval.options import RetrievalOptions
from evaluation.study.retrieval.queries import (
    Query,
    averaged,
    cut_objects,
    image_queries,
    query_objects,
    text_queries,
    with_enough_left,
)


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries by class: single crops, single texts, averages of n crops by n.

    `chosen`: which objects are of the class, (m,) bool.
    """

    chosen: Mapping[str, NDArray[np.bool_]]
    crops: Mapping[str, list[Query]]
    texts: Mapping[str, list[Query]]
    averages: Mapping[int, Mapping[str, list[Query]]]


def ask_queries(
    dataset: StudyDataset,
    objects: Objects,
    concepts: Concepts,
    embedder: Embedder,
    options: RetrievalOptions,
    on_share: Callable[[float], None],
) -> Asked:
    """Cuts and embeds the crops, embeds the texts, and draws which crops are averaged.

    An average whose photos leave too few objects of its class to be found is left out.
    """
    chosen = {
        concept.name: of_categories(dataset, objects, concept.categories)
        for concept in concepts.used
    }
    numbers = {
        name: query_objects(
            objects, mine, options.queries_per_class, options.clear_side, options.seed
        )
        for name, mine in chosen.items()
    }
    flat = [number for some in numbers.values() for number in some]
    pixels = cut_objects(
        dataset, objects, flat, options.margin, lambda share: on_share(0.7 * share)
    )
    vectors = embedder.crops(pixels)
    on_share(0.95)
    words = embedder.texts([text for concept in concepts.used for text in concept.texts])
    crops, texts, sums, at, said = {}, {}, {}, 0, 0
    for concept in concepts.used:
        name, count = concept.name, len(numbers[concept.name])
        mine = image_queries(numbers[name], vectors[at : at + count], objects)
        # A class barely large enough has one object less when one of them is asked with.
        crops[name] = with_enough_left(mine, objects, chosen[name], 1)
        texts[name] = text_queries(concept.texts, words[said : said + len(concept.texts)])
        at, said = at + count, said + len(concept.texts)
    for n in options.averages:
        if n > 1:
            sums[n] = {
                name: with_enough_left(
                    averaged(some, n, options.draws, options.seed),
                    objects,
                    chosen[name],
                    options.min_objects - 1,
                )
                for name, some in crops.items()
            }
    on_share(1.0)
    return Asked(chosen, crops, texts, sums)
