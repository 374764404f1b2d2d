"""Cutting training patches, storing them, and drawing batches of which the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.scenes import Scene, generate_scene
from training.mini.batches import PatchStore, shares
from training.mini.patches import STORED, cut, sample, window_sides, write_chunk


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(seed, seed, 1280, 720) for seed in range(4)]


@pytest.fixture(scope="module")
def store(scenes: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    folder = tmp_path_factory.mktemp("patches")
    rng = np.random.default_rng(0)
    rows = [(scene, patch) for scene in scenes for patch in sample(scene, rng)]
    write_chunk(folder, "chunk-0", rows)
    chunks = PatchStore(folder)
    assert chunks.refresh() == len(rows) > 40
    return chunks


def test_window_sides_follow_the_thesis() -> None:
    assert window_sides(3848, 2168) == (896, 448, 224)
    assert min(window_sides(200, 150)) == 64


def test_a_crop_keeps_its_shape_and_is_padded_black() -> None:
    from patchsearch import Box

    white = np.full((100, 100, 3), 255, np.uint8)
    out = cut(white, Box(0, 0, 100, 50))
    assert out.shape == (STORED, STORED, 3)
    assert out[STORED // 2].min() > 250
    assert out[0].max() == 0 and out[-1].max() == 0


def test_shares_of_boxes_relative_to_a_patch() -> None:
    inside, cover = shares(np.array([[0, 0, 1, 1], [0.5, 0, 1, 1], [2, 2, 1, 1]], np.float32))
    assert inside.tolist() == [1, 0.5, 0]
    assert cover.tolist() == [1, 0.5, 0]


def test_a_batch_is_of_the_size_asked_for_and_matches_itself(store: PatchStore) -> None:
    batch = store.draw(16, 96, np.random.default_rng(1))
    assert batch.pixels.shape == (16, 96, 96, 3)
    assert batch.match.shape == batch.undecided.shape == (16, 16)
    assert len(batch.contents.settings) == 16


def test_an_incomplete_chunk_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "chunk-1.json").write_text("[]")
    (tmp_path / "chunk-1.partial").write_bytes(b"half")
    assert PatchStore(tmp_path).refresh() == 0
