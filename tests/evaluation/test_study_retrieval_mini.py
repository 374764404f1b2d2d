"""A retrieval study of generated scenes with the bundled encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.study.embedding import EncoderChoice, open_embedder
from evaluation.study.retrieval import RetrievalOptions, RetrievalResults, run_retrieval
from tests.evaluation.study_material import LEVEL, small_scenes, tables_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> RetrievalResults:
    folder: Path = tmp_path_factory.mktemp("scenes")
    dataset = small_scenes(folder, 12)
    embedder = open_embedder(EncoderChoice("mini"), threads=2)
    options = RetrievalOptions(
        queries_per_class=6,
        averages=(1, 3),
        draws=5,
        min_objects=3,
        studies=("mixed",),
        profiles=(),
    )
    tables = tables_of(dataset, embedder)
    return run_retrieval(dataset, tables, embedder, options, lambda what, share: None)


def test_texts_and_crops_find_far_more_than_chance(results: RetrievalResults) -> None:
    for query in ("text", "image"):
        (row,) = (
            row
            for row in results.search
            if (row["level"], row["query"], row["n"]) == (LEVEL, query, 1)
        )
        assert row["precision_at_16"]["mean"] > 10 * row["chance"]
        assert row["precision_at_16"]["mean"] > 0.3 * row["reachable"]


def test_objects_are_found_within_the_first_hits(results: RetrievalResults) -> None:
    (row,) = (
        row
        for row in results.recall
        if (row["level"], row["query"], row["n"]) == (LEVEL, "text", 1)
    )
    assert row["objects"]["100"] > 0.4 * row["findable"]


def test_the_best_text_is_shown_with_what_it_found(results: RetrievalResults) -> None:
    shown = [example for example in results.examples if example.texts]
    assert {example.what for example in shown} == {"text"}
    assert all(example.precision > 0 for example in shown)
