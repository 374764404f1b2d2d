"""A whole retrieval study on a few generated scenes, with an encoder that knows only colours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.relevance import captures_any, mean_vector, precision_at
from evaluation.scenes import TARGET_CLASSES
from evaluation.study.model import PatchTable, StudyDataset, StudyObject, StudyPhoto
from evaluation.study.retrieval import RetrievalOptions, RetrievalResults, run_retrieval
from evaluation.study.retrieval.capturing import dataset_objects, of_categories
from evaluation.study.retrieval.concepts import choose_concepts, texts_for
from evaluation.study.retrieval.german_signs import GERMAN_SIGNS
from evaluation.study.retrieval.mixing import weighted
from evaluation.study.retrieval.queries import (
    averaged,
    cut_objects,
    query_objects,
    text_queries,
    widened,
)
from patchsearch.errors import InvalidArgument, NotFound
from patchsearch.geometry import Box
from tests.evaluation.study_material import LEVEL, FakeColourEmbedder, small_scenes, tables_of

OPTIONS = RetrievalOptions(
    averages=(1, 2, 3),
    queries_per_class=5,
    draws=4,
    min_objects=3,
    margins=(0.0, 0.5),
    patches_per_photo=(1, 8),
    profiles=("exact",),
    profile_seconds=0.1,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> StudyDataset:
    return small_scenes(tmp_path_factory.mktemp("scenes"), 14)


@pytest.fixture(scope="module")
def tables(dataset: StudyDataset) -> dict[str, PatchTable]:
    return tables_of(dataset, FakeColourEmbedder())


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def results(
    dataset: StudyDataset, tables: Mapping[str, PatchTable], told: list[tuple[str, float]]
) -> RetrievalResults:
    return run_retrieval(
        dataset,
        tables,
        FakeColourEmbedder(),
        OPTIONS,
        lambda what, share: told.append((what, share)),
    )


@pytest.fixture(scope="module")
def document(results: RetrievalResults) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(results.as_json(), allow_nan=False))
    return loaded


def rows(document: dict[str, Any], part: str, **wanted: object) -> list[dict[str, Any]]:
    return [
        row for row in document[part] if all(row[key] == value for key, value in wanted.items())
    ]


def test_every_level_and_kind_of_query_has_a_row(document: dict[str, Any]) -> None:
    for level in ("image", LEVEL):
        kinds = [(row["query"], row["n"]) for row in rows(document, "search", level=level)]
        assert kinds[:2] == [("image", 1), ("image", 2)]
        assert ("text", 1) in kinds and ("text", 3) in kinds
        found = [(row["query"], row["n"]) for row in rows(document, "recall", level=level)]
        assert ("image", 1) in found and ("text", 1) in found


def test_figures_are_possible(document: dict[str, Any]) -> None:
    for part in ("search", "options"):
        for row in document[part]:
            assert 0 <= row["precision_at_16"]["mean"] <= row["reachable"] + 1e-6 <= 1 + 1e-6
            assert 0 <= row["chance"] <= 1 and 0 <= row["map"] <= 1
            means = [one["precision_at_16"]["mean"] for one in row["classes"].values()]
            assert row["precision_at_16"]["mean"] == pytest.approx(np.mean(means), abs=1e-3)
    for row in document["recall"]:
        shares = [share for _, share in row["curve"]]
        assert shares == sorted(shares)
        assert shares[-1] <= row["findable"] + 1e-4


def test_text_precision_is_that_of_the_plain_protocol(
    document: dict[str, Any], dataset: StudyDataset, tables: Mapping[str, PatchTable]
) -> None:
    table = tables[LEVEL]
    boxes = [Box(*row) for row in table.boxes.tolist()]
    for name, about in document["retrieval"]["classes"].items():
        relevant = [
            captures_any(
                box,
                [
                    o.box
                    for o in dataset.photos[photo].objects
                    if o.category in TARGET_CLASSES[name]
                ],
            )
            for photo, box in zip(table.photo.tolist(), boxes, strict=True)
        ]
        vectors = FakeColourEmbedder().texts(about["texts"])
        scores = vectors @ table.vectors.astype(np.float32).T
        plain = [precision_at(16, one, table.photo.tolist(), boxes, relevant) for one in scores]
        (row,) = rows(document, "search", level=LEVEL, query="text", n=1)
        figures = row["classes"][name]
        assert figures["precision_at_16"]["mean"] == pytest.approx(np.mean(plain), abs=1e-4)
        assert figures["precision_at_16"]["std"] == pytest.approx(np.std(plain), abs=1e-4)
        assert figures["chance"] == pytest.approx(np.mean(relevant), abs=1e-5)


def test_no_crop_finds_its_own_photo(results: RetrievalResults) -> None:
    shown = [example for example in results.examples if example.crops]
    assert shown
    for example in shown:
        own = {photo for photo, _ in example.crops}
        assert own.isdisjoint(hit.photo for hit in example.hits)


def test_examples_are_right_where_the_annotations_say_so(
    results: RetrievalResults, dataset: StudyDataset
) -> None:
    for example in results.examples:
        for hit in example.hits:
            mine = [
                o.box
                for o in dataset.photos[hit.photo].objects
                if o.category in TARGET_CLASSES[example.name]
            ]
            assert hit.right == captures_any(hit.box, mine)
        right = sum(hit.right for hit in example.hits)
        assert example.precision == pytest.approx(right / 16)
        scores = [hit.score for hit in example.hits]
        assert scores == sorted(scores, reverse=True)


def test_the_exact_profile_finds_what_the_search_finds(document: dict[str, Any]) -> None:
    (exact, codes) = document["profiles"]
    assert exact["profile"] == "exact" and codes["profile"] == "thesis-pq64"
    for kind in ("image", "text"):
        (row,) = rows(document, "search", level=LEVEL, query=kind, n=1)
        told = exact["queries"][kind]["precision_at_16"]["mean"]
        # Equal scores may come in another order.
        assert told == pytest.approx(row["precision_at_16"]["mean"], abs=0.02)
    assert exact["recall_at_16"] == 1.0
    assert exact["ms_per_query"] > 0
    assert exact["bytes_per_vector"] == pytest.approx(2 * 128, rel=0.02)
    assert codes["bytes_per_vector"] == 64


def test_studies_have_their_settings_and_prices(document: dict[str, Any]) -> None:
    by_name = {
        name: rows(document, "options", option=name)
        for name in dict.fromkeys(row["option"] for row in document["options"])
    }
    assert list(by_name) == list(RetrievalOptions().studies)
    assert [row["value"] for row in by_name["margin"]] == [0.0, 0.5]
    assert [row["value"] for row in by_name["patches-per-photo"]] == [1, 1, 8, 8, 120, 120]
    first = by_name["patches-per-photo"][0]
    assert first["vectors_per_photo"] == 1 and first["vector_bytes"] == 14 * 128 * 2
    assert len({row["value"] for row in by_name["patch-size"]}) == 3
    added = [row["vectors"] for row in by_name["whole-photo"]]
    assert added == [14 * 120, 14 * 120, 14 * 121, 14 * 121]
    kept = [row["vectors"] for row in by_name["near-duplicates"]]
    assert kept == sorted(kept, reverse=True) and kept[-1] < kept[0]
    whole, *_ = by_name["near-duplicates"]
    (single,) = rows(document, "search", level=LEVEL, query="image", n=1)
    assert whole["precision_at_16"] == single["precision_at_16"]
    assert by_name["negatives"][0]["value"] == 0 and by_name["negatives"][-1]["value"] == -1


def test_progress_goes_up_to_one(results: RetrievalResults, told: list[tuple[str, float]]) -> None:
    assert results.search
    stages = list(dict.fromkeys(what for what, _ in told))
    assert stages[0] == "queries"
    assert all(0 <= share <= 1 for _, share in told)
    for stage in ("queries", "index profile profiles", "study: studies"):
        assert max(share for what, share in told if what == stage) == 1.0


def test_a_level_that_is_not_there_is_refused(
    dataset: StudyDataset, tables: Mapping[str, PatchTable]
) -> None:
    for asked, given in ((replace(OPTIONS, level="nothing"), tables), (OPTIONS, {})):
        with pytest.raises(InvalidArgument) as caught:
            run_retrieval(dataset, given, FakeColourEmbedder(), asked, lambda what, share: None)
        assert caught.value.reason == "STUDY_INVALID"


def test_rare_classes_are_left_out_and_named() -> None:
    def thing(category: str, counted: bool = True) -> StudyObject:
        return StudyObject(category, Box(0, 0, 40, 40), counted)

    photos = (
        StudyPhoto("a", Path("a"), 99, 99, (thing("cat"), thing("cat"), thing("dog"))),
        StudyPhoto("b", Path("b"), 99, 99, (thing("dog"), thing("cow", False), thing("cow"))),
    )
    dataset = StudyDataset("few", photos, ("cat", "dog", "cow"), {})
    concepts = choose_concepts(dataset, dataset_objects(dataset), 2)
    assert [concept.name for concept in concepts.used] == ["dog"]
    assert concepts.left_out == {
        "cat": "all 2 counted objects are in one photo",
        "cow": "1 counted objects, fewer than 2",
    }
    with pytest.raises(InvalidArgument, match="no class of few has 5") as caught:
        run_retrieval(
            dataset,
            {
                "image": PatchTable(
                    np.array([0], np.int32),
                    np.array([[0, 0, 99, 99]], np.int32),
                    np.ones(1, np.int32),
                    np.zeros(1, np.float32),
                    np.ones((1, 4), np.float16) / 2,
                )
            },
            FakeColourEmbedder(),
            RetrievalOptions(),
            lambda what, share: None,
        )
    assert caught.value.reason == "QUERIES_MISSING"


def test_classes_are_groups_targets_or_categories(dataset: StudyDataset) -> None:
    objects = dataset_objects(dataset)
    names = [concept.name for concept in choose_concepts(dataset, objects, 2).used]
    assert set(names) <= set(TARGET_CLASSES)
    grouped = replace(dataset, groups={"car or van": ("car", "van")})
    (concept,) = choose_concepts(grouped, objects, 2).used
    assert concept.texts[0] == "a car or van"


def test_words_are_made_from_class_names() -> None:
    assert texts_for("orange") == (
        "an orange",
        "a photo of an orange",
        "a cropped photo of an orange",
        "a close-up photo of an orange",
    )
    assert texts_for("traffic-light")[0] == "a traffic light"
    assert len(GERMAN_SIGNS) == 43
    assert texts_for("snow", is_sign=True)[0] == "a snow or ice traffic sign"


def test_averages_are_different_sets_and_all_of_them_where_there_are_few() -> None:
    vectors = np.eye(6, dtype=np.float32)
    queries = text_queries([str(i) for i in range(6)], vectors)
    pairs = averaged(queries, 2, 100, 1)
    assert len({query.texts for query in pairs}) == len(pairs) == 15
    assert pairs[0].vector == pytest.approx(mean_vector(vectors[[0, 1]]))
    drawn = averaged(queries, 3, 7, 1)
    assert len({query.texts for query in drawn}) == 7
    assert averaged(queries, 7, 7, 1) == []


def test_clear_objects_are_asked_with_first_and_photos_in_turn() -> None:
    def photo(name: str, *sides: int) -> StudyPhoto:
        things = tuple(StudyObject("cat", Box(0, 0, side, side), True) for side in sides)
        return StudyPhoto(name, Path(name), 200, 200, things)

    photos = (photo("a", 50, 60, 10), photo("b", 40), photo("c", 20))
    dataset = StudyDataset("cats", photos, ("cat",), {})
    objects = dataset_objects(dataset)
    chosen = of_categories(dataset, objects, ("cat",))
    order = query_objects(objects, chosen, 10, 32, 1)
    assert {int(objects.photo[i]) for i in order[:2]} == {0, 1}
    assert int(objects.photo[order[2]]) == 0
    assert order[3:] == [4, 2]
    assert query_objects(objects, chosen, 2, 32, 1) == order[:2]


def test_a_photo_that_has_gone_is_named(tmp_path: Path) -> None:
    things = (StudyObject("cat", Box(0, 0, 40, 40), True),)
    photo = StudyPhoto("a", tmp_path / "gone.jpg", 99, 99, things)
    dataset = StudyDataset("cats", (photo,), ("cat",), {})
    with pytest.raises(NotFound, match=r"gone\.jpg cannot be read") as caught:
        cut_objects(dataset, dataset_objects(dataset), [0], 0.1)
    assert caught.value.reason == "PHOTO_MISSING"


def test_margins_stop_at_the_border() -> None:
    assert widened(Box(10, 10, 20, 40), 0.5, 200, 200) == Box(0, 0, 40, 70)
    assert widened(Box(10, 10, 20, 40), 0.0, 200, 200) == Box(10, 10, 20, 40)


def test_weights_push_and_pull() -> None:
    one, other = np.eye(2, dtype=np.float32)
    assert weighted([(one, 1.0), (other, -1.0)]) == pytest.approx([0.5**0.5, -(0.5**0.5)])
    assert weighted([(one, 1.0), (one, -1.0)]) == pytest.approx(one)


@pytest.mark.parametrize(
    "wrong", [{"averages": (0,)}, {"min_objects": 1}, {"margins": (-1.0,)}, {"studies": ("tea",)}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RetrievalOptions(**wrong)
    assert caught.value.reason == "STUDY_INVALID"
