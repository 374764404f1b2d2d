"""The figures of ranking, against definitions written out in loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.mini.retrieval import average_precision, crop_to_crop, text_to_crop
from training.mini.words import unit


def naive_average_precision(relevant: list[bool]) -> float:
    found, total = 0, 0.0
    for place, hit in enumerate(relevant, start=1):
        if hit:
            found += 1
            total += found / place
    return total / found if found else 0.0


@given(st.lists(st.booleans(), max_size=60))
def test_average_precision(relevant: list[bool]) -> None:
    assert average_precision(np.array(relevant, bool)) == pytest.approx(
        naive_average_precision(relevant)
    )


def rows(seed: int, count: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_texts_against_crops(seed: int) -> None:
    texts, crops = rows(seed, 5), rows(seed + 1, 40)
    labels = np.random.default_rng(seed).integers(0, 5, 40)
    figures = text_to_crop(texts, crops, labels)
    precisions, first, five = [], [], []
    for row in range(5):
        if (labels == row).sum() < 3:
            continue
        order = sorted(range(40), key=lambda i: -float(crops[i] @ texts[row]))
        hits = [bool(labels[i] == row) for i in order]
        precisions.append(naive_average_precision(hits))
        first.append(hits[0])
        five.append(sum(hits[:5]) / 5)
    named = [int(np.argmax(texts @ crop)) for crop in crops]
    assert figures.classes == len(precisions)
    assert figures.mean_ap == pytest.approx(np.mean(precisions))
    assert (figures.at_1, figures.at_5) == pytest.approx((np.mean(first), np.mean(five)))
    assert figures.zero_shot == pytest.approx(np.mean(np.array(named) == labels))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_crops_against_crops(seed: int) -> None:
    crops = rows(seed, 20)
    labels = np.random.default_rng(seed).integers(0, 6, 20)
    queries = [0, 3, 7, 19]
    figures = crop_to_crop(crops, labels, queries)
    first, five, precisions, highest = [], [], [], []
    for query in queries:
        others = [i for i in range(20) if i != query]
        order = sorted(others, key=lambda i: -float(crops[i] @ crops[query]))
        hits = [bool(labels[i] == labels[query]) for i in order]
        first.append(hits[0])
        five.append(sum(hits[:5]) / 5)
        highest.append(min(sum(hits), 5) / 5)
        if any(hits):
            precisions.append(naive_average_precision(hits))
    assert figures.queries == 4
    assert (figures.at_1, figures.at_5) == pytest.approx((np.mean(first), np.mean(five)))
    assert figures.ceiling == pytest.approx(np.mean(highest))
    assert figures.mean_ap == pytest.approx(
        np.mean(precisions) if precisions else np.nan, nan_ok=True
    )


def test_a_perfect_encoder_gets_everything_and_classes_of_two_are_not_asked_for() -> None:
    texts = np.eye(3, dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2])
    figures = text_to_crop(texts, texts[labels], labels)
    assert (figures.mean_ap, figures.at_1, figures.zero_shot) == (1, 1, 1)
    assert (figures.classes, figures.crops) == (2, 9)
    assert figures.chance == pytest.approx(3.5 / 9)
    with pytest.raises(ValueError, match="no class has 3 crops"):
        text_to_crop(texts, texts, np.arange(3))
