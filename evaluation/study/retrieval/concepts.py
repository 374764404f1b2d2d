"""What is looked for in a data set, and in which words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.demo.scene_demo import TEXTS
from evaluation.scenes import TARGET_CLASSES
from evaluation.study.model import StudyDataset
from evaluation.study.retrieval.capturing import Objects, of_categories
from evaluation.study.retrieval.german_signs import GERMAN_SIGNS

_SIGNS_KNOWN = 10


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that is looked for: any object of `categories` is it; `texts` ask for it."""

    name: str
    categories: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Concepts:
    """What a study looks for, and a sentence about each class that it leaves out."""

    used: tuple[Concept, ...]
    left_out: dict[str, str]


def choose_concepts(dataset: StudyDataset, objects: Objects, min_objects: int) -> Concepts:
    """The data set's groups, where it has some; the three target classes in generated scenes; every
    category in other data.

    A class is left out where fewer than `min_objects` of its objects count, or where they are all
    in one photo: a query's own photo does not count, so nothing would be left to find.
    """
    used, left_out = [], {}
    for concept in _concepts(dataset):
        mine = of_categories(dataset, objects, concept.categories) & objects.counted
        count, photos = int(mine.sum()), len(np.unique(objects.photo[mine]))
        if count < min_objects:
            left_out[concept.name] = f"{count} counted objects, fewer than {min_objects}"
        elif photos < 2:
            left_out[concept.name] = f"all {count} counted objects are in one photo"
        else:
            used.append(concept)
    return Concepts(tuple(used), left_out)


def texts_for(category: str, *, is_sign: bool = False) -> tuple[str, ...]:
    """Wordings of a text query made from a class's name.

    `is_sign`: the name is one of `GERMAN_SIGNS` and means the traffic sign, not the thing.
    """
    if is_sign:
        called, looks = GERMAN_SIGNS[category]
        return (
            f"{_article(called)} {called} traffic sign",
            f"a photo of a traffic sign: {called}",
            f"a {looks}",
            f"a close-up photo of a {looks}",
        )
    name = category.replace("-", " ").replace("_", " ")
    one = f"{_article(name)} {name}"
    return (one, f"a photo of {one}", f"a cropped photo of {one}", f"a close-up photo of {one}")


def _concepts(dataset: StudyDataset) -> list[Concept]:
    names = set(dataset.categories)
    groups = dataset.groups
    if not groups and all(set(categories) <= names for categories in TARGET_CLASSES.values()):
        groups = TARGET_CLASSES
    if groups:
        return [
            Concept(name, categories, tuple(TEXTS.get(name) or texts_for(name)))
            for name, categories in groups.items()
        ]
    # Some of the names, such as "snow", mean something else elsewhere.
    signs = names & set(GERMAN_SIGNS) if len(names & set(GERMAN_SIGNS)) >= _SIGNS_KNOWN else set()
    return [
        Concept(name, (name,), texts_for(name, is_sign=name in signs))
        for name in dataset.categories
    ]


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"
