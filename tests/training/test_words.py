"""Names, their vectors, and class distributions as vectors of the same space."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.mini.text import article
from training.mini.words import COCO, CONSE, SOURCES, Conse, clean, load_conse, load_words, unit


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Person", "person"),
        ("stop_sign", "stop sign"),
        ("bow_(weapon)", "bow"),
        ("Cabinet/shelf", "cabinet or shelf"),
        ("no overtaking (trucks)", "no overtaking"),
    ],
)
def test_names_are_written_as_one_writes_them(name: str, expected: str) -> None:
    assert clean(name) == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as they are published, with two dimensions instead of 512."""
    np.save(tmp_path / COCO, np.array([[2, 0], [0, 3]], np.float16))
    for (vectors, names), listed in zip(
        SOURCES, (["Cat", "moon"], ["dog_(pet)"], ["Moon"]), strict=True
    ):
        (tmp_path / names).write_text(json.dumps(listed))
        np.save(tmp_path / vectors, np.ones((len(listed), 2), np.float16))
    np.savez(
        tmp_path / CONSE,
        T=np.array([[0, 0], [1, 0], [0, 1]], np.float16),
        how=np.array([0, 2, 1], np.int8),
        mu=np.array([0.5, 0.5], np.float32),
    )
    return tmp_path


def test_each_name_is_there_once_cocos_first(folder: Path) -> None:
    words = load_words(folder, folder / CONSE, ("cat", "dog"))
    assert words.names == ("cat", "dog", "moon")
    diagonal = np.sqrt(0.5)
    cat = (np.array([1, 0]) + diagonal) / 2 - 0.5
    assert np.allclose(words.vectors[0], cat / np.linalg.norm(cat), atol=1e-3)
    assert np.allclose(np.linalg.norm(words.vectors, axis=1), 1)
    assert words.rows() == {"cat": 0, "dog": 1, "moon": 2}


def test_conse_mixes_the_known_classes_by_their_chances(folder: Path) -> None:
    conse = load_conse(folder / CONSE)
    assert conse.classes.tolist() == [[0, 0], [0.5, -0.5], [-0.5, 0.5]]
    padding = np.zeros((3, 1001 - 3), np.float32)
    wide = Conse(np.concatenate([conse.classes, np.zeros((1001 - 3, 2), np.float32)]))
    chances = np.array([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8], [1.0, 0.0, 0.0]], np.float32)
    vectors, weight = wide(np.concatenate([chances, padding], axis=1))
    half = np.sqrt(0.5)
    assert np.allclose(vectors, [[half, -half], [-half, half], [0, 0]], atol=1e-6)
    assert weight.tolist() == pytest.approx([0.3, 1.0, 0.0])


def test_unit_rows_and_rows_of_zeros() -> None:
    assert unit(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0, 0],
    ]


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        ("a photo of a {}", "oven", "a photo of an oven"),
        ("a {}", "unicycle", "a unicycle"),
        ("a large {}", "apple", "a large apple"),
        ("{}", "eel", "eel"),
    ],
)
def test_articles_of_templates(template: str, name: str, expected: str) -> None:
    assert article(template, name) == expected
