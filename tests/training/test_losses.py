"""The contrastive loss with many positives, against its definition."""

from __future__ import annotations

import math

import pytest
import torch

from training.mini.losses import image_image, multi_positive, text_image


def test_one_positive_a_row_is_cross_entropy() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(5, 5, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(5))
    assert multi_positive(logits, torch.eye(5), none).item() == pytest.approx(expected.item())


def test_undecided_pairs_count_for_nothing() -> None:
    logits = torch.tensor([[1.0, 9.0, 0.0]])
    target = torch.tensor([[1.0, 0.0, 0.0]])
    undecided = torch.tensor([[False, True, False]])
    loss = multi_positive(logits, target, undecided).item()
    assert loss == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)


def test_a_batch_without_positives_costs_nothing() -> None:
    none = torch.zeros(2, 2)
    assert multi_positive(torch.randn(2, 2), none, none.bool()).item() == 0


def test_agreement_costs_less_than_disagreement() -> None:
    images = torch.eye(4)
    truth = torch.eye(4)
    scale = torch.tensor(10.0)
    assert text_image(images, images, truth, scale) < text_image(
        images, images.flip(0), truth, scale
    )


def test_an_image_is_no_match_of_itself() -> None:
    images = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
    undecided = torch.zeros(3, 3, dtype=torch.bool)
    assert image_image(images, torch.eye(3), undecided, 10.0).item() == 0
