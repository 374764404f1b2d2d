"""Texts are true of exactly the patches that show what they say."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.scenes import CATEGORIES, TARGET_CLASSES
from training.mini.captions import (
    Caption,
    Captioner,
    Contents,
    Empty,
    Has,
    Setting,
    article,
    states,
    truth,
)
from training.mini.concepts import GROUPS, SINGLE


def contents() -> Contents:
    """Patch 0: a red car and, hardly, a moose. Patch 1: nothing. Patch 2: a blue car and a cow."""
    return Contents(
        patch=np.array([0, 0, 2, 2]),
        category=np.array(["car", "moose", "car", "cow"]),
        colour=np.array(["red", "", "blue", ""]),
        state=np.array([1, 0.5, 1, 1], np.float32),
        cover=np.array([0.3, 0.03, 0.2, 0.1], np.float32),
        settings=({"weather": "rain"}, {"weather": "rain"}, {"weather": "snow"}),
    )


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ((Has(SINGLE["car"]),), [1, 0, 1]),
        ((Has(SINGLE["car"], "red"),), [1, 0, 0]),
        ((Has(SINGLE["moose"]),), [0.5, 0, 0]),
        ((Has(GROUPS["animal"]),), [0.5, 0, 1]),
        ((Has(SINGLE["bus"]),), [0, 0, 0]),
        ((Empty(),), [0, 1, 0]),
        ((Setting("weather", "rain"),), [1, 1, 0]),
        ((Has(SINGLE["car"]), Has(SINGLE["cow"])), [0, 0, 1]),
        ((Has(SINGLE["moose"]), Setting("weather", "rain")), [0.5, 0, 0]),
        ((Empty(), Setting("weather", "rain")), [0, 1, 0]),
    ],
)
def test_a_text_is_true_where_all_its_terms_are(
    terms: tuple[Has | Setting | Empty, ...], expected: list[float]
) -> None:
    assert truth([Caption("", terms)], contents()).tolist() == [expected]


def test_an_object_is_shown_by_the_rule_of_relevance() -> None:
    inside = np.array([0.5, 0.49, 1.0, 1.0, 0.24, 1.0], np.float32)
    cover = np.array([0.05, 0.5, 0.049, 0.019, 0.9, 1.0], np.float32)
    assert states(inside, cover).tolist() == [1, 0.5, 0.5, 0, 0, 1]


def test_every_category_has_words_and_no_phrase_means_two_categories() -> None:
    assert set(SINGLE) == set(CATEGORIES)
    phrases = [p for concept in SINGLE.values() for p in concept.singular]
    assert len(phrases) == len(set(phrases))


def test_the_word_animal_means_what_the_demo_counts() -> None:
    assert GROUPS["animal"].categories == set(TARGET_CLASSES["animal"])


def test_a_batch_of_texts_is_true_of_something_and_names_the_targets() -> None:
    captions = Captioner(np.random.default_rng(0)).batch(contents(), 60)
    assert len(captions) == 60
    assert all(c.text == c.text.strip() and "{" not in c.text for c in captions)
    rows = truth(captions[30:], contents())
    assert (rows == 1).any(axis=1).mean() > 0.6
    assert {Has(SINGLE["ambulance"]), Has(SINGLE["road-narrows-sign"])} <= {
        term for c in captions for term in c.terms
    }


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("ambulance", "an ambulance"), ("moose", "a moose"), ("one way sign", "a one way sign")],
)
def test_articles(phrase: str, expected: str) -> None:
    assert article(phrase) == expected
