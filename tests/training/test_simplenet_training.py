"""Losses of the saliency network against plain formulas, and a short training that learns."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from patch_selection.saliency.simplenet.network import SimpleNet
from patch_selection.saliency.simplenet.weights import Weights, read_weights, write_weights
from patchsearch.geometry import Box
from training.simplenet.examples import Example
from training.simplenet.losses import LossWeights, combined, correlation, divergence, nss
from training.simplenet.photos import is_held_out
from training.simplenet.train import WEIGHTS_NAME, Examples, Recipe, distil, refine
from training.simplenet.views import Picture, Views, shown
from training.simplenet.wanted import Mixture, wanted_map


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
    distil(folder, out, None, Recipe(minutes=0.03, batch=2, warmup_steps=1))
    first = torch.load(out / "state.pt", weights_only=True)["step"]
    distil(folder, out, None, Recipe(minutes=0.06, batch=2, warmup_steps=1))
    assert torch.load(out / "state.pt", weights_only=True)["step"] > first > 0
    assert read_weights(out / "weights.safetensors").calibration is None
    with pytest.raises(FileNotFoundError, match="build-data"):
        distil(tmp_path, out, None, Recipe())


def disc(x: int, y: int, side: int = 400) -> Picture:
    """A red disc at (x, y) on grey, with its box."""
    pixels = np.full((side, side + 200, 3), 120, np.uint8)
    cv2.circle(pixels, (x, y), 20, (230, 20, 20), -1)
    return Picture(pixels, (Box(x - 20, y - 20, 40, 40),))


def test_the_wanted_map_is_the_mixture_of_its_parts() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    gaze = rng.standard_normal((64, 64)).astype(np.float32)
    seen = wanted_map(gaze, picture, (), Mixture(gaze=1.0, contrast=0.0))
    density = np.exp(gaze) / np.exp(gaze).mean()
    assert np.allclose(seen, np.log(density + 1e-3), atol=1e-4)
    small, large = (0.1, 0.1, 0.1, 0.1), (0.5, 0.5, 0.4, 0.4)
    objects = np.exp(wanted_map(gaze, picture, (small, large), Mixture(0.0, 0.0, 1.0)))
    # One as much as the other, but for what the blur takes out of the quarter of the map.
    assert objects[:28, :28].sum() == pytest.approx(objects[28:, 28:].sum(), rel=0.1)
    assert objects.mean() == pytest.approx(1.0, abs=0.01)
    all_three = np.exp(wanted_map(gaze, picture, (small, large), Mixture()))
    assert all_three[9, 9] > 5 * np.median(all_three)
    # Two pixels of 256 are too few to be asked for.
    tiny = wanted_map(gaze, picture, ((0.5, 0.5, 0.005, 0.2),), Mixture())
    assert np.array_equal(tiny, wanted_map(gaze, picture, (), Mixture()))


def test_views_want_their_objects_wherever_they_lie() -> None:
    network = SimpleNet("mobilenetv2_100", (96, 64, 48, 32))
    pictures = {"gtsdb": [disc(100, 80), disc(450, 300)], "raccoon": [disc(50, 350)]}
    views = Views(pictures, network, Mixture(0.01, 0.01, 0.98), seed=1)
    found = 0
    for _ in range(6):
        images, wanted = views.draw(4)
        assert images.shape == (4, 3, 256, 256) and -1 <= images.min() <= images.max() <= 1
        for image, logits in zip(images, wanted, strict=True):
            red = (image[0] - image[1]).numpy()
            if red.max() - np.median(red) < 0.5 or logits.max() < 2:
                continue
            y, x = np.unravel_index(int(logits.argmax()), logits.shape)
            assert red[y, x] > np.median(red) + 0.3
            found += 1
    assert found > 8


def test_what_a_part_shows_of_boxes() -> None:
    boxes = [Box(10, 20, 40, 40), Box(90, 90, 30, 30), Box(300, 300, 5, 5)]
    assert list(shown(boxes, Box(30, 0, 80, 100))) == [
        (0.0, 0.2, 0.25, 0.4),
        (0.75, 0.9, 0.25, 0.1),
    ]


def test_refining_goes_on_from_weights(tmp_path: Path) -> None:
    network = SimpleNet("mobilenetv2_100", (96, 64, 48, 32))
    weights = tmp_path / "distilled.safetensors"
    write_weights(weights, Weights("mobilenetv2_100", (96, 64, 48, 32), network.state_dict()))
    recipe = Recipe(minutes=0.03, batch=2, warmup_steps=1)
    refine({"gtsdb": [disc(100, 80)]}, weights, tmp_path / "run", Mixture(), recipe)
    before, after = (
        read_weights(path).tensors for path in (weights, tmp_path / "run" / WEIGHTS_NAME)
    )
    assert any(not torch.equal(before[name], after[name]) for name in before)
