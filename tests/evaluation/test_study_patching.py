"""Photos to tables of patches: as the selectors choose and the encoder embeds, each box once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.study.embedding import EncoderChoice, EncoderEmbedder, open_embedder
from evaluation.study.loading import load_dataset
from evaluation.study.model import StudyDataset
from evaluation.study.patching import PatchingPlan, patch_photos
from evaluation.study.photo_files import read_photo
from evaluation.study.store import StudyStore
from evaluation.study.timed_saliency import saliency_fingerprint
from evaluation.study.timings import timing_rows
from patch_selection import load_saliency, load_selector, select_patches
from patchsearch.errors import InternalError, InvalidArgument
from patchsearch.geometry import Box
from tests.evaluation.study_folders import BROKEN, add_odd_photos, put_scenes

SALIENCY = load_saliency("spectral-residual")
MULTISIZE, HIERARCHICAL = (
    load_selector("multisize-filtered"),
    load_selector("hierarchical-filtered"),
)


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = put_scenes(tmp_path_factory.mktemp("patching") / "scenes", 3, 480, 270)
    add_odd_photos(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(folder: Path) -> StudyDataset:
    return load_dataset(folder)


@pytest.fixture(scope="module")
def embedder() -> EncoderEmbedder:
    return open_embedder(EncoderChoice(), threads=1)


@pytest.fixture(scope="module")
def plan(embedder: EncoderEmbedder) -> PatchingPlan:
    return PatchingPlan(
        embedded=(HIERARCHICAL,),
        looked_at=(MULTISIZE,),
        saliency="spectral-residual",
        saliency_mark=saliency_fingerprint(SALIENCY),
        encoder=embedder.choice,
        encoder_mark=embedder.fingerprint,
        workers=2,
    )


@pytest.fixture(scope="module")
def work(
    dataset: StudyDataset, plan: PatchingPlan, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which the plan was carried out."""
    work = tmp_path_factory.mktemp("work")
    told: list[tuple[int, int]] = []
    with StudyStore(work) as store:
        patch_photos(dataset, plan, store, lambda *state: told.append(state))
    assert told == [(i, 8) for i in range(9)]
    return work


def test_tables_hold_what_selectors_choose_and_the_encoder_says(
    dataset: StudyDataset, plan: PatchingPlan, embedder: EncoderEmbedder, work: Path
) -> None:
    with StudyStore(work) as store:
        patched = patch_photos(dataset, plan, store, silent)
        # The photo that broke off looked sound in its header, and is out now.
        names = [photo.name for photo in patched.dataset.photos]
        assert (len(dataset.photos), len(names), BROKEN in names) == (8, 7, False)
        assert patched.dataset.problems == {"photo_undecodable": 1}

        tables = patched.tables()
        assert list(tables) == ["image", "hierarchical-filtered"]
        chosen = patched.chosen(MULTISIZE)
        for i, photo in enumerate(patched.dataset.photos):
            pixels = read_photo(photo.path)
            found = [p.box for p in select_patches(pixels, SALIENCY, MULTISIZE).patches]
            assert [Box(*row) for row in chosen[i].boxes.tolist()] == found
            wanted = select_patches(pixels, SALIENCY, HIERARCHICAL).patches
            table = tables["hierarchical-filtered"]
            rows = np.flatnonzero(table.photo == i)
            assert [Box(*row) for row in table.boxes[rows].tolist()] == [p.box for p in wanted]
            assert table.level[rows].tolist() == [p.level for p in wanted]
            assert np.allclose(table.score[rows], [p.score for p in wanted])
            vectors = embedder.embed(embedder.cut(pixels, [p.box for p in wanted]))
            assert np.abs(table.vectors[rows] - vectors).max() < 2e-3
            (row,) = np.flatnonzero(tables["image"].photo == i)
            assert tables["image"].boxes[row].tolist() == [0, 0, photo.width, photo.height]
            side = min(photo.width, photo.height)
            left, top = (photo.width - side) // 2, (photo.height - side) // 2
            middle = embedder.crops([pixels[top : top + side, left : left + side]])[0]
            assert np.abs(tables["image"].vectors[row] - middle).max() < 2e-3

        stages = {row["stage"]: row for row in timing_rows(patched)}
        assert list(stages) == ["decode", "saliency", "scoring", "crop_resize", "embed", "total"]
        assert all(row["ms"] > 0 for row in stages.values())
        total = stages.pop("total")["ms"]
        assert total == pytest.approx(sum(row["ms"] for row in stages.values()))


def test_nothing_is_done_twice(dataset: StudyDataset, plan: PatchingPlan, work: Path) -> None:
    with StudyStore(work) as store:
        first = patch_photos(dataset, plan, store, silent).tables()
        # An encoder that cannot be opened: nothing is asked of it.
        idle = replace(plan, workers=1, encoder=EncoderChoice("no-such-model"))
        again = patch_photos(dataset, idle, store, silent).tables()
        for name in first:
            assert np.array_equal(first[name].boxes, again[name].boxes)
            assert np.array_equal(first[name].vectors, again[name].vectors)
        with pytest.raises(InternalError, match="no-such-model") as caught:
            patch_photos(dataset, replace(idle, encoder_mark="other"), store, silent)
        assert caught.value.reason == "ENCODER_UNKNOWN"

        before = sum(len(store.embedded_boxes(p.digest, plan.encoder_mark)) for p in dataset.photos)
        more = patch_photos(
            dataset,
            replace(plan, workers=1, embedded=(HIERARCHICAL, MULTISIZE)),
            store,
            silent,
        )
        boxes = [
            len(part.boxes)
            for photo in more.dataset.photos
            for part in store.embedded(photo.digest, plan.encoder_mark)
        ]
        tables = more.tables()
        wanted = {
            (int(i), *box)
            for table in (tables["hierarchical-filtered"], tables["multisize-filtered"])
            for i, box in zip(table.photo, table.boxes.tolist(), strict=True)
        }
        images = len(more.dataset.photos)
        assert before < sum(boxes) <= len(wanted) + images
        # The tiny photo is a patch of its own, and its middle square the same box.
        assert sum(boxes) >= len(wanted)


def test_without_a_photo_that_can_be_decoded_there_is_no_study(
    dataset: StudyDataset, plan: PatchingPlan, work: Path
) -> None:
    broken = replace(dataset, photos=tuple(p for p in dataset.photos if p.name == BROKEN))
    with StudyStore(work) as store:
        with pytest.raises(InvalidArgument, match="can be decoded") as caught:
            patch_photos(broken, plan, store, silent)
        assert caught.value.reason == "DATASET_EMPTY"
