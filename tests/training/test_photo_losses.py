"""What views of photos pull the image tower towards, against the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from training.mini.losses import image_image
from training.mini.objective import aims, labels, same_name
from training.mini.photo_losses import named, relations, towards
from training.mini.words import Words


def rows(seed: int, count: int = 6, width: int = 5) -> torch.Tensor:
    return normalize(
        torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def test_towards_is_a_weighted_mean_of_one_minus_cosine() -> None:
    seen, target = rows(0), rows(1)
    weight = torch.tensor([0, 1, 2, 0, 0, 1.0])
    cosine = [float(seen[i] @ target[i]) for i in range(6)]
    expected = sum(w * (1 - c) for w, c in zip(weight.tolist(), cosine, strict=True)) / 4
    assert towards(seen, target, weight).item() == pytest.approx(expected, abs=1e-5)
    assert towards(seen, target, torch.zeros(6)).item() == 0


def test_only_views_with_a_label_are_named() -> None:
    seen, vectors = rows(0), rows(2, 4)
    label = torch.tensor([-1, 2, -1, -1, 0, -1])
    some = named(seen, vectors, label, 10.0)
    assert some.item() == pytest.approx(
        named(seen[[1, 4]], vectors, label[[1, 4]], 10.0).item(), abs=1e-5
    )
    assert named(seen, vectors, torch.full((6,), -1), 10.0).item() == 0
    right = named(vectors, vectors, torch.arange(4), 10.0)
    assert right < named(vectors, vectors, torch.tensor([1, 2, 3, 0]), 10.0)


def test_relations_cost_nothing_where_they_agree() -> None:
    seen = rows(3)
    assert relations(seen, seen, 10.0).item() == pytest.approx(0, abs=1e-5)
    turned = seen @ torch.linalg.qr(torch.randn(5, 5))[0]
    assert relations(turned, seen, 10.0).item() == pytest.approx(0, abs=1e-4)
    assert relations(rows(4), seen, 10.0).item() > 0.1


def test_views_of_the_same_name_match_and_windows_count_for_nothing() -> None:
    match, undecided = same_name(np.array(["dog", "", "dog", "cat"]))
    assert match.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
    assert undecided[:, 1].all() and undecided[1].all()
    assert not undecided[[0, 0, 2, 3], [2, 3, 3, 0]].any()
    images = torch.eye(4)
    expected = math.log(
        math.exp(0) + math.exp(0)
    )  # row 0: dog against dog and cat, all at right angles
    assert image_image(images, match, undecided, 5.0).item() == pytest.approx(expected)


def test_aims_are_of_the_name_first_and_of_the_teacher_where_there_is_none() -> None:
    words = Words(("dog", "cat"), np.array([[1, 0, 0], [0, 1, 0]], np.float32), np.zeros(3))
    teacher = np.tile(np.array([0, 0, 1], np.float32), (3, 1))
    aim = aims(np.array(["dog", "", "road narrows"]), teacher, words)
    assert np.allclose(aim, [[2 / 5**0.5, 0, 1 / 5**0.5], [0, 0, 1], [0, 0, 1]])
    assert labels(np.array(["Cat", "", "eel"]), ("dog", "cat")).tolist() == [1, -1, -1]
