"""What a study keeps on disk comes back as it was; a damaged file is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from evaluation.study.photo_work import ChosenPatches, EmbeddedBoxes, PhotoResult
from evaluation.study.remembering import RememberingEmbedder
from evaluation.study.stopwatch import Spent
from evaluation.study.store import FILE, StudyStore
from patchsearch.errors import DataLoss, FailedPrecondition

DECODE, CUT, EMBED = Spent(7.5, 7.0), Spent(3.0, 2.5), Spent(4.5, 9.0)


def chosen(count: int) -> ChosenPatches:
    rng = np.random.default_rng(count)
    return ChosenPatches(
        rng.integers(0, 5000, (count, 4)).astype(np.int32),
        rng.integers(1, 3, count).astype(np.int32),
        rng.random(count).astype(np.float32),
        ("the map is flat",) * (count % 2),
        Spent(12.5, 11.0),
        6,
        Spent(1.25, 1.0),
    )


def embedded(count: int) -> EmbeddedBoxes:
    rng = np.random.default_rng(count)
    boxes = rng.integers(0, 5000, (count, 4)).astype(np.int32)
    return EmbeddedBoxes(boxes, rng.random((count, 8)).astype(np.float16), CUT, EMBED)


def same(one: ChosenPatches, other: ChosenPatches | None) -> bool:
    return (
        other is not None
        and np.array_equal(one.boxes, other.boxes)
        and np.array_equal(one.level, other.level)
        and np.array_equal(one.score, other.score)
        and (one.warnings, one.saliency, one.maps, one.scoring)
        == (other.warnings, other.saliency, other.maps, other.scoring)
    )


def test_a_photo_comes_back_after_the_file_was_closed(tmp_path: Path) -> None:
    with StudyStore(tmp_path) as store:
        store.add("p", "e", PhotoResult(0, DECODE, {"k": chosen(3), "l": chosen(0)}, embedded(4)))
        store.add("q", "e", PhotoResult(1, refused="photo_undecodable"))
    with StudyStore(tmp_path) as store:
        assert store.photos() == {"p": (DECODE, None), "q": (Spent(), "photo_undecodable")}
        assert (store.keys("p"), store.keys("q")) == ({"k", "l"}, set())
        assert same(chosen(3), store.chosen("p", "k"))
        assert same(chosen(0), store.chosen("p", "l"))
        assert store.chosen("q", "k") is None
        (found,) = store.embedded("p", "e")
        assert np.array_equal(found.boxes, embedded(4).boxes)
        assert np.array_equal(found.vectors, embedded(4).vectors)
        assert store.embedded_boxes("p", "e") == {tuple(box) for box in found.boxes.tolist()}
        assert store.embedding_costs("p", "e") == [(4, CUT, EMBED)]
        assert (store.embedded("p", "other"), store.embedded_boxes("q", "e")) == ([], frozenset())


def test_later_results_add_to_earlier_ones(tmp_path: Path) -> None:
    with StudyStore(tmp_path) as store:
        store.add("p", "e", PhotoResult(0, DECODE, {"k": chosen(3)}, embedded(4)))
        store.add("p", "e", PhotoResult(0, CUT, {"l": chosen(2)}, embedded(5)))
        assert store.photos() == {"p": (DECODE, None)}
        assert store.keys("p") == {"k", "l"}
        assert [len(part.boxes) for part in store.embedded("p", "e")] == [4, 5]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("no database, but text" * 100)
    with pytest.raises(DataLoss, match=r"study\.sqlite3: .*remove it") as caught:
        StudyStore(tmp_path)
    assert caught.value.reason == "WORK_CORRUPT"


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    StudyStore(tmp_path).__exit__(None, None, None)
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(DataLoss, match="format 99"):
        StudyStore(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"nowhere.*name another folder") as caught:
        StudyStore(tmp_path / "nowhere")
    assert caught.value.reason == "WORK_UNUSABLE"


class BrightnessEmbedder:
    """A fake for the seam `Embedder`: a crop's mean colours, and how many it was asked for."""

    name, fingerprint = "brightness", "b1"

    def __init__(self) -> None:
        self.asked = 0

    def crops(self, crops: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        self.asked += len(crops)
        means = [crop.reshape(-1, 3).mean(axis=0) + 1 for crop in crops]
        rows = np.array(means, np.float32).reshape(-1, 3)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[[len(text) % 3 for text in texts]]


def test_a_crop_is_embedded_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    crops = [rng.integers(0, 256, (9, 7 + i % 3, 3), np.uint8) for i in range(6)]
    # The same bytes in another shape are another crop; a view is known by what it shows.
    asked = [
        *crops,
        crops[0],
        crops[1].reshape(8, 9, 3),
        np.pad(crops[2], ((1, 1), (0, 0), (0, 0)))[1:-1],
    ]
    plain, counting = BrightnessEmbedder(), BrightnessEmbedder()
    with StudyStore(tmp_path) as store:
        remembering = RememberingEmbedder(counting, store)
        assert np.array_equal(remembering.crops(asked), plain.crops(asked))
        assert counting.asked == 7
        assert remembering.crops([]).shape == (0, 3)
        assert remembering.texts(["a", "bb"]).tolist() == [[0, 1, 0], [0, 0, 1]]
    with StudyStore(tmp_path) as store:
        again = RememberingEmbedder(counting, store)
        assert np.array_equal(again.crops(asked[::-1]), plain.crops(asked)[::-1])
        assert (counting.asked, again.name, again.fingerprint) == (7, "brightness", "b1")
