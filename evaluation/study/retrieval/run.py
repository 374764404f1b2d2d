"""The retrieval part of a study, from tables of patches to figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from evaluation.study.embedding import Embedder
from evaluation.study.model import PatchTable, StudyDataset
from evaluation.study.retrieval.asking import Asked, ask_queries
from evaluation.study.retrieval.capturing import dataset_objects
from evaluation.study.retrieval.collection import collect
from evaluation.study.retrieval.concepts import Concepts, choose_concepts
from evaluation.study.retrieval.examples import Example, class_examples
from evaluation.study.retrieval.options import DEPTHS, IMAGE_LEVEL, RetrievalOptions
from evaluation.study.retrieval.profiles import profile_rows
from evaluation.study.retrieval.queries import together
from evaluation.study.retrieval.results import RetrievalResults
from evaluation.study.retrieval.searching import Batch, Level, level_of, search_rows
from evaluation.study.retrieval.studies import study_rows
from patch_selection import DEFAULT_SELECTOR
from patchsearch.errors import InvalidArgument

_FAVOURITE_LEVEL = DEFAULT_SELECTOR.name

Progress = Callable[[str, float], None]
"""(what is going on, share of it that is done, 0..1)."""


def run_retrieval(
    dataset: StudyDataset,
    tables: Mapping[str, PatchTable],
    embedder: Embedder,
    options: RetrievalOptions,
    progress: Progress,
) -> RetrievalResults:
    """Measures how well objects are found again in `tables`, by level name.

    `image` names the table with one patch a photo, other names are selectors. Queries are crops of
    the data set's own objects, whose photos are left out of what is searched, and texts. Runs on
    the calling thread and in child processes for the profiles. The result depends on the arguments
    alone, but for memory and times. Raises InvalidArgument: STUDY_INVALID where there is no table
    or `options.level` names none, QUERIES_MISSING where no class has objects enough.
    """
    main = _main_level(tables, options)
    objects = dataset_objects(dataset)
    concepts = choose_concepts(dataset, objects, options.min_objects)
    if not concepts.used:
        raise InvalidArgument(
            "QUERIES_MISSING",
            f"no class of {dataset.name} has {options.min_objects} counted objects in more than one"
            " photo; use more photos, or a smaller --min-objects",
        )
    asked = ask_queries(dataset, objects, concepts, embedder, options, partial(progress, "queries"))
    search: list[dict[str, Any]] = []
    recall: list[dict[str, Any]] = []
    batches = _batches(asked)
    levels = {}
    for position, (name, table) in enumerate(tables.items()):
        done = position * len(batches)
        level = level_of(collect(name, table, objects, len(dataset.photos)), asked.chosen)
        if name == main:
            levels[name] = level
        tell = partial(_tell, progress, f"searching {name}", done, len(tables) * len(batches))
        some, more = search_rows(level, batches, tell)
        search += some
        recall += more
    level = levels[main]
    profiles: list[dict[str, Any]] = []
    if options.profiles:
        kinds = {"image": asked.crops, "text": asked.texts}
        profiles = profile_rows(
            level,
            kinds,
            options.profiles,
            options.profile_seconds,
            lambda what, share: progress(f"index profile {what}", share),
        )
    studies = study_rows(
        dataset,
        level,
        asked.crops,
        asked.texts,
        embedder,
        options,
        tables.get(IMAGE_LEVEL) if main != IMAGE_LEVEL else None,
        lambda what, share: progress(f"study: {what}", share),
    )
    examples = _examples(dataset, level, asked, options)
    return RetrievalResults(
        search, recall, profiles, studies, _about(main, concepts, asked, options), examples
    )


def _tell(progress: Progress, what: str, before: int, total: int, batch: int) -> None:
    progress(what, (before + batch) / total)


def _main_level(tables: Mapping[str, PatchTable], options: RetrievalOptions) -> str:
    names = [name for name in tables if name != IMAGE_LEVEL] or list(tables)
    if options.level is not None and options.level in tables:
        return options.level
    if not names or options.level is not None:
        raise InvalidArgument(
            "STUDY_INVALID",
            f"no table {options.level or 'at all'}; there are {', '.join(tables) or 'none'}",
        )
    return _FAVOURITE_LEVEL if _FAVOURITE_LEVEL in names else names[0]


def _batches(asked: Asked) -> list[Batch]:
    """The rows of table 4.3: one crop, one text, averages of crops, all wordings averaged."""
    texts = {name: [together(some, "text")] for name, some in asked.texts.items()}
    wordings = max(len(some) for some in asked.texts.values())
    deep = DEPTHS[-1]
    largest = max((n for n, some in asked.averages.items() if any(some.values())), default=0)
    return [
        Batch("image", 1, asked.crops, deep),
        *(
            Batch(
                "image", n, {name: one for name, one in some.items() if one}, deep * (n == largest)
            )
            for n, some in asked.averages.items()
        ),
        Batch("text", 1, asked.texts, deep),
        Batch("text", wordings, texts),
    ]


def _examples(
    dataset: StudyDataset, level: Level, asked: Asked, options: RetrievalOptions
) -> list[Example]:
    """For the classes with most queries, in the data set's order."""
    names = sorted(asked.crops, key=lambda name: -len(asked.crops[name]))
    shown = set(names[: options.gallery_classes])
    out: list[Example] = []
    for name in asked.crops:
        if name in shown:
            means = [some[name] for _, some in sorted(asked.averages.items()) if some.get(name)]
            out += class_examples(
                dataset,
                level,
                name,
                asked.crops[name],
                asked.texts[name],
                means[-1] if means else [],
                options.margin,
            )
    return out


def _about(
    main: str, concepts: Concepts, asked: Asked, options: RetrievalOptions
) -> dict[str, Any]:
    return {
        "level": main,
        "settings": options.as_json(),
        "classes": {
            concept.name: {
                "categories": list(concept.categories),
                "texts": list(concept.texts),
                "crops": len(asked.crops[concept.name]),
            }
            for concept in concepts.used
        },
        "left_out": concepts.left_out,
        "without_average": {
            str(n): [name for name, one in some.items() if not one]
            for n, some in asked.averages.items()
        },
    }
