"""Losses of the saliency network against plain formulas, and a short training that learns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.simplenet.examples import Example
from training.simplenet.losses import LossWeights, combined, correlation, divergence, nss
from training.simplenet.photos import is_held_out


def densities(seed: int) -> torch.Tensor:
    return torch.softmax(torch.randn(3, 20, generator=torch.Generator().manual_seed(seed)), 1)


def test_losses_are_what_their_formulas_say() -> None:
    one, other = densities(1).view(3, 4, 5), densities(2).view(3, 4, 5)
    p, q = one.numpy().reshape(3, -1).astype(np.float64), other.numpy().reshape(3, -1)
    assert float(divergence(one.log(), other)) == pytest.approx(
        float(np.mean((q * np.log(q / p)).sum(1))), rel=1e-4
    )
    cc = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    assert float(correlation(one, other)) == pytest.approx(float(cc), rel=1e-4)
    z = (p - p.mean(1, keepdims=True)) / p.std(1, ddof=1, keepdims=True)
    assert float(nss(one.log(), other)) == pytest.approx(float((z * q).sum(1).mean()), rel=1e-4)


def test_the_teacher_itself_has_the_least_loss() -> None:
    teacher = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    weights = LossWeights(nss=0.1)
    best = float(combined(teacher, teacher, weights))
    for seed in range(1, 6):
        noise = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(seed))
        assert float(combined(teacher + 0.3 * noise, teacher, weights)) > best


def test_a_third_of_the_photos_is_held_out_by_name_alone() -> None:
    names = [f"{number:012}.jpg" for number in range(3000)]
    held = [name for name in names if is_held_out(name)]
    assert 900 < len(held) < 1100
    assert held == [name for name in names if is_held_out(name)]


def test_a_short_training_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    import json
    from dataclasses import asdict

    from patch_selection.saliency.simplenet.weights import read_weights
    from training.simplenet.train import Examples, Recipe, train

    rng = np.random.default_rng(0)
    inputs = rng.integers(90, 130, (8, 256, 256, 3)).astype(np.uint8)
    logits = np.full((8, 256, 256), -6.0, np.float16)
    for row in range(8):
        x, y = rng.integers(40, 216, 2).tolist()
        cv2.circle(inputs[row], (x, y), 24, (230, 20, 20), -1)
        rows, columns = np.ogrid[:256, :256]
        logits[row][(rows - y) ** 2 + (columns - x) ** 2 < 900] = 0.0
    folder = tmp_path / "examples"
    folder.mkdir()
    np.save(folder / "chunk-000000.inputs.npy", inputs)
    np.save(folder / "chunk-000000.logits.npy", logits)
    rows_of = [Example("scene", str(i), 0, 0, 0, i == 7) for i in range(8)]
    (folder / "chunk-000000.json").write_text(json.dumps([asdict(one) for one in rows_of]))
    assert len(Examples(folder, 0)) == 7

    out = tmp_path / "run"
    train(folder, out, None, Recipe(minutes=0.03, batch=2, warmup_steps=1))
    first = torch.load(out / "state.pt", weights_only=True)["step"]
    train(folder, out, None, Recipe(minutes=0.06, batch=2, warmup_steps=1))
    assert torch.load(out / "state.pt", weights_only=True)["step"] > first > 0
    assert read_weights(out / "weights.safetensors").calibration is None
    with pytest.raises(FileNotFoundError, match="build-data"):
        train(tmp_path, out, None, Recipe())
