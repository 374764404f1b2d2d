"""Every figure of a retrieval study against the plainest way to compute it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation import relevance
from evaluation.study.model import PatchTable, StudyDataset, StudyObject, StudyPhoto
from evaluation.study.retrieval.capturing import dataset_objects, of_categories
from evaluation.study.retrieval.collection import Collection, collect, subset
from evaluation.study.retrieval.judging import CURVE, Judge, average_precision
from evaluation.study.retrieval.novelty import best_known, new_rows
from evaluation.study.retrieval.ranking import ranked, scores_of, without_overlaps
from patchsearch.geometry import Box

SIDE = 200
CLASSES = ("moose", "van")


@dataclass(frozen=True)
class World:
    """A small data set and a table of patches."""

    dataset: StudyDataset
    table: PatchTable

    @property
    def collection(self) -> Collection:
        objects = dataset_objects(self.dataset)
        return collect("patches", self.table, objects, len(self.dataset.photos))

    def boxes(self) -> list[Box]:
        return [Box(*row) for row in self.table.boxes.tolist()]


squares = st.builds(
    lambda x, y, side: Box(x, y, side, side),
    st.integers(0, 120),
    st.integers(0, 120),
    st.sampled_from([20, 40, 80]),
)
things = st.builds(
    StudyObject,
    st.sampled_from(CLASSES),
    st.builds(
        Box, st.integers(0, 150), st.integers(0, 150), st.integers(1, 50), st.integers(1, 50)
    ),
    st.booleans(),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    photos, places, numbers = [], [], []
    for i in range(draw(st.integers(1, 4))):
        objects = tuple(draw(st.lists(things, max_size=4)))
        photos.append(StudyPhoto(f"{i}.jpg", Path(f"{i}.jpg"), SIDE, SIDE, objects))
        for box in draw(st.lists(squares, max_size=7)):
            places.append((box.x, box.y, box.w, box.h))
            numbers.append(i)
    n = len(numbers)
    seed = draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).normal(size=(n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = PatchTable(
        np.array(numbers, np.int32),
        np.array(places, np.int32).reshape(-1, 4),
        np.ones(n, np.int32),
        np.zeros(n, np.float32),
        vectors.astype(np.float16),
    )
    return World(StudyDataset("small", tuple(photos), CLASSES, {}), table)


def naive_relevant(world: World, name: str) -> list[bool]:
    out = []
    for photo, box in zip(world.table.photo.tolist(), world.boxes(), strict=True):
        mine = world.dataset.photos[photo].objects
        out.append(relevance.captures_any(box, [o.box for o in mine if o.category == name]))
    return out


def judge_of(world: World, name: str) -> Judge:
    collection = world.collection
    return Judge(collection, of_categories(world.dataset, collection.objects, (name,)))


def query(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=8)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.sampled_from(CLASSES))
def test_right_patches_are_those_that_capture_an_object(world: World, name: str) -> None:
    assert judge_of(world, name).relevant.tolist() == naive_relevant(world, name)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 9), st.integers(1, 20))
def test_overlapping_hits_are_dropped_as_the_protocol_says(world: World, seed: int, k: int) -> None:
    collection = world.collection
    if not len(collection):
        return
    (scores,) = scores_of(query(seed)[None], collection)
    order = ranked(scores, collection, np.empty(0, np.int64))
    told = relevance.without_overlaps(scores, world.table.photo.tolist(), world.boxes(), k=k)
    assert without_overlaps(order, collection, k).tolist() == told


def test_photos_without_a_patch_can_be_left_out() -> None:
    photos = tuple(StudyPhoto(f"{i}.jpg", Path(f"{i}.jpg"), SIDE, SIDE, ()) for i in range(3))
    table = PatchTable(
        np.array([1], np.int32),
        np.array([[0, 0, 20, 20]], np.int32),
        np.ones(1, np.int32),
        np.zeros(1, np.float32),
        query(0)[None].astype(np.float16),
    )
    judge = judge_of(World(StudyDataset("small", photos, CLASSES, {}), table), CLASSES[0])
    judged = judge.judge(np.array([0]), np.array([2]))
    assert (judged.precision, judged.reachable, judged.hits.tolist()) == (0, 0, [0])


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 9), st.sampled_from(CLASSES), st.sets(st.integers(0, 3)))
def test_precision_chance_and_average_precision_are_the_naive_ones(
    world: World, seed: int, name: str, left_out: set[int]
) -> None:
    judge = judge_of(world, name)
    left_out = {photo for photo in left_out if photo < len(world.dataset.photos)}
    photo = world.table.photo.tolist()
    rows = [row for row in range(len(photo)) if photo[row] not in left_out]
    if not rows:
        return
    gone = np.array(sorted(left_out), np.int64)
    (scores,) = scores_of(query(seed)[None], judge.collection)
    judged = judge.judge(ranked(scores, judge.collection, gone), gone)
    truth = naive_relevant(world, name)
    assert judged.precision == pytest.approx(
        relevance.precision_at(
            16,
            scores[rows],
            [photo[row] for row in rows],
            [world.boxes()[row] for row in rows],
            [truth[row] for row in rows],
        )
    )
    assert judged.chance == pytest.approx(sum(truth[row] for row in rows) / len(rows))
    ordered = sorted(rows, key=lambda row: (-scores[row], row))
    precisions = [
        sum(truth[one] for one in ordered[: place + 1]) / (place + 1)
        for place, row in enumerate(ordered)
        if truth[row]
    ]
    expected = sum(precisions) / len(precisions) if precisions else 0.0
    assert judged.average_precision == pytest.approx(expected)
    assert judged.precision <= judged.reachable + 1e-9


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from(CLASSES))
def test_the_reachable_precision_is_the_best_of_all_choices(world: World, name: str) -> None:
    judge = judge_of(world, name)
    boxes, photos = world.boxes(), world.table.photo.tolist()
    total = 0
    for photo in set(photos):
        mine = [row for row in np.flatnonzero(judge.relevant).tolist() if photos[row] == photo]
        total += max(
            size
            for size in range(len(mine) + 1)
            for some in combinations(mine, size)
            if all(boxes[a].intersection(boxes[b]) == 0 for a, b in combinations(some, 2))
        )
    order = np.arange(len(judge.collection))
    nothing = np.empty(0, np.int64)
    assert judge.judge(order, nothing).reachable == min(total, 16) / 16


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(0, 9), st.sampled_from(CLASSES))
def test_objects_found_are_counted_once_and_only_where_they_count(
    world: World, seed: int, name: str
) -> None:
    judge = judge_of(world, name)
    if not len(judge.collection):
        return
    (scores,) = scores_of(query(seed)[None], judge.collection)
    nothing = np.empty(0, np.int64)
    judged = judge.judge(ranked(scores, judge.collection, nothing), nothing, depth=1000)
    assert judged.found is not None and judged.findable is not None
    wanted = [
        (i, place, thing.box)
        for i, photo in enumerate(world.dataset.photos)
        for place, thing in enumerate(photo.objects)
        if thing.counted and thing.category == name
    ]
    if not wanted:
        assert np.isnan(judged.findable)
        return

    def share(rows: Sequence[int]) -> float:
        shown = {
            (i, place)
            for row in rows
            for i, place, box in wanted
            if world.table.photo[row] == i and relevance.captures(world.boxes()[row], box)
        }
        return len(shown) / len(wanted)

    kept = relevance.without_overlaps(scores, world.table.photo.tolist(), world.boxes())
    for hits, found in zip(CURVE, judged.found, strict=True):
        assert found == pytest.approx(share(kept[:hits]))
    assert judged.findable == pytest.approx(share(range(len(judge.collection))))


@settings(max_examples=60, deadline=None)
@given(worlds(), st.floats(-0.5, 1))
def test_what_is_new_is_decided_photo_by_photo(world: World, limit: float) -> None:
    vectors = world.table.vectors.astype(np.float64)
    photos = world.table.photo.tolist()
    kept: list[int] = []
    for photo in sorted(set(photos)):
        mine = [row for row in range(len(photos)) if photos[row] == photo]
        best = [max((float(vectors[row] @ vectors[k]) for k in kept), default=-2.0) for row in mine]
        # A cosine on the limit may fall to either side, by rounding.
        if any(abs(one - limit) < 1e-4 for one in best):
            return
        kept += [row for row, one in zip(mine, best, strict=True) if one < limit]
    assert new_rows(world.table, limit).tolist() == kept


def test_the_best_known_cosine_is_that_of_earlier_photos() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float16)
    zeros = np.zeros((3, 4), np.int32)
    photos = np.array([0, 0, 1], np.int32)
    table = PatchTable(photos, zeros, np.ones(3, np.int32), np.zeros(3, np.float32), vectors)
    assert best_known(table) == pytest.approx([-1, -1, 0.8], abs=1e-3)


def test_whole_photos_are_right_when_they_show_the_class_at_all() -> None:
    tiny = StudyObject("moose", Box(10, 10, 5, 5), counted=True)
    photo = StudyPhoto("a.jpg", Path("a.jpg"), SIDE, SIDE, (tiny,))
    dataset = StudyDataset("small", (photo,), CLASSES, {})
    table = PatchTable(
        np.zeros(1, np.int32),
        np.array([[0, 0, SIDE, SIDE]], np.int32),
        np.ones(1, np.int32),
        np.zeros(1, np.float32),
        np.ones((1, 1), np.float16),
    )
    objects = dataset_objects(dataset)
    chosen = of_categories(dataset, objects, ("moose",))
    assert collect("image", table, objects, 1).relevant(chosen).tolist() == [True]
    assert collect("patches", table, objects, 1).relevant(chosen).tolist() == [False]


def test_a_subset_knows_its_own_overlaps() -> None:
    boxes = np.array([[0, 0, 20, 20], [10, 10, 20, 20], [15, 15, 20, 20]], np.int32)
    table = PatchTable(
        np.zeros(3, np.int32),
        boxes,
        np.ones(3, np.int32),
        np.zeros(3, np.float32),
        np.ones((3, 1), np.float16),
    )
    photo = StudyPhoto("a.jpg", Path("a.jpg"), SIDE, SIDE, ())
    objects = dataset_objects(StudyDataset("small", (photo,), CLASSES, {}))
    whole = collect("patches", table, objects, 1)
    assert without_overlaps(np.arange(3), whole, 3).tolist() == [0]
    part = subset(whole, np.array([0, 2]))
    assert without_overlaps(np.arange(2), part, 3).tolist() == [0]
    assert part.table.boxes.tolist() == boxes[[0, 2]].tolist()


def test_the_average_precision_of_nothing_right_is_zero() -> None:
    assert average_precision(np.zeros(4, bool)) == 0.0
    assert average_precision(np.array([True, False, True])) == pytest.approx((1 + 2 / 3) / 2)
