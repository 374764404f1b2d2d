"""Where training begins: ImageNet's MobileNetV2, a text tower that knows names, and a projection
that gives both one space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.mini.model import IMAGE_SIZE
from training.mini.photo_batches import ViewStore
from training.mini.text import draw, encode, name_loss, sentences
from training.mini.words import Words
from training.mobilenet.convert import as_input, load_backbone

VIEWS = 2400
"""Views that the first projection is fitted on."""

RIDGE = 1.0
"""Ridge penalty, as a share of the mean variance of the features."""


def load_image_tower(model: nn.Module, backbone: Path) -> None:
    """Put the backbone's weights into the image tower. Raises RuntimeError if they do not fit."""
    trunk = model.get_submodule("visual.trunk")
    missing = trunk.load_state_dict(dict(load_backbone(backbone)), strict=False)
    if missing.unexpected_keys or any(not k.startswith("classifier") for k in missing.missing_keys):
        raise RuntimeError(f"{backbone} does not fit the image tower: {missing}")


def teach_names(
    model: nn.Module, tokenizer: Any, words: Words, steps: int, rng: np.random.Generator
) -> float:
    """Train the text tower to give each name its vector; returns the last loss, averaged."""
    parameters = [p for n, p in model.named_parameters() if not n.startswith("visual.")]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    vectors = torch.from_numpy(words.vectors)
    smooth = 0.0
    for _ in tqdm(range(steps), desc="names"):
        rows = draw(words, 192, 80, rng)
        texts = sentences([words.names[r] for r in rows], rng)
        loss = name_loss(encode(model, tokenizer(texts)), vectors, torch.tensor(rows))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        smooth = 0.95 * smooth + 0.05 * loss.item()
    return smooth


@torch.no_grad()
def fit_projection(
    model: nn.Module, views: ViewStore, targets: np.ndarray, rng: np.random.Generator
) -> float:
    """Set the image tower's last layer to the ridge regression of the targets `(views, 512)` on its
    pooled features; returns the mean cosine reached."""
    trunk = model.get_submodule("visual.trunk").eval()
    picks = rng.permutation(len(views))[:VIEWS]
    features = []
    for start in tqdm(range(0, len(picks), 32), desc="projection"):
        pixels = [views.pixels[p] for p in picks[start : start + 32]]
        batch = torch.stack([as_input(_resized(p)) for p in pixels])
        features.append(trunk.forward_head(trunk.forward_features(batch), pre_logits=True))  # type: ignore[operator]
    x, y = torch.cat(features), torch.from_numpy(targets[picks])
    weight, bias = ridge(x, y, RIDGE)
    trunk.get_parameter("classifier.weight").copy_(weight)
    trunk.get_parameter("classifier.bias").copy_(bias)
    return nn.functional.cosine_similarity(x @ weight.T + bias, y).mean().item()


def ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """`weight (out, in)` and `bias (out,)` of the regression of `y (n, out)` on `x (n, in)`."""
    centre, middle = x.mean(0), y.mean(0)
    a = (x - centre).double()
    gram = a.T @ a
    gram += penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram, a.T @ (y - middle).double()).T.float()
    return weight, middle - weight @ centre


def _resized(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(pixels, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA))
