"""The training loop of the saliency network: bounded by wall-clock time, resumable."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from patch_selection.saliency.simplenet.network import SimpleNet
from patch_selection.saliency.simplenet.weights import Weights, read_weights, write_weights
from training.simplenet.examples import chunks
from training.simplenet.losses import LossWeights, combined
from training.simplenet.views import Picture, Views
from training.simplenet.wanted import Mixture

ENCODER = "mobilenetv2_100"
WIDTHS = (96, 64, 48, 32)
WEIGHTS_NAME = "weights.safetensors"


@dataclass(frozen=True)
class Recipe:
    """What a run depends on besides the examples."""

    minutes: float = 40.0
    batch: int = 24
    rate: float = 2e-3
    encoder_rate: float = 0.3
    """Of the rate, for the encoder, which has learned from photographs before."""
    weight_decay: float = 0.02
    warmup_steps: int = 60
    average: float = 0.995
    save_every_s: float = 240.0
    seed: int = 0
    loss: LossWeights = field(default_factory=LossWeights)

    def rate_at(self, progress: float, step: int) -> float:
        """Learning rate: linear warm-up over steps, cosine over time."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.rate * min(1.0, (step + 1) / self.warmup_steps) * max(cosine, 0.01)


class Examples:
    """The chunks of a folder that are not held out, pixels left on disk. Not thread-safe."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._places: list[tuple[NDArray[np.uint8], NDArray[np.float16], int]] = []
        for name, examples in chunks(folder):
            inputs = np.load(folder / f"{name}.inputs.npy", mmap_mode="r")
            logits = np.load(folder / f"{name}.logits.npy", mmap_mode="r")
            self._places += [
                (inputs, logits, row) for row, one in enumerate(examples) if not one.held_out
            ]
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._places)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, 256, 256) in -1..1 and logits (n, 256, 256), each example once before any
        comes again; mirrored, with other light."""
        if len(self._order) < count:
            self._order = self._rng.permutation(len(self._places)).tolist()
        pictures, logits = [], []
        for _ in range(min(count, len(self._order))):
            inputs, maps, row = self._places[self._order.pop()]
            step = 1 if self._rng.random() < 0.5 else -1
            pictures.append(np.asarray(inputs[row])[:, ::step])
            logits.append(np.asarray(maps[row], np.float32)[:, ::step])
        values = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
        contrast = torch.tensor(self._rng.uniform(0.75, 1.3, (len(values), 1, 1, 1))).float()
        tint = torch.tensor(self._rng.uniform(-0.15, 0.15, (len(values), 3, 1, 1))).float()
        lit = (values * contrast + tint).clamp(-1, 1)
        return lit.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack(logits))


class Source(Protocol):
    """Where a training takes its examples from."""

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Up to `count` pictures (n, 3, 256, 256) in -1..1 with wanted logits (n, 256, 256)."""


def distil(folder: Path, out: Path, backbone: Path | None, recipe: Recipe) -> None:
    """Trains on the examples in `folder` into `out`, going on where a run there was stopped.

    `backbone` is a safetensors file of the encoder's tensors to start from. Raises
    FileNotFoundError where there are no examples.
    """
    examples = Examples(folder, recipe.seed)
    if not len(examples):
        raise FileNotFoundError(f"{folder} holds no chunk of examples; run build-data first")
    torch.manual_seed(recipe.seed)
    network = SimpleNet(ENCODER, WIDTHS)
    if backbone is not None:
        network.encoder.load_state_dict(load_file(backbone), strict=False)
    train(network, examples, out, recipe)


def refine(
    pictures: dict[str, list[Picture]], weights: Path, out: Path, mixture: Mixture, recipe: Recipe
) -> None:
    """Trains a network of `distil` on, for maps of what is searched for; it stays its own teacher
    of where people look. Raises as `read_weights`."""
    distilled = read_weights(weights)
    torch.manual_seed(recipe.seed)
    gaze = distilled.network().to(memory_format=torch.channels_last)
    train(distilled.network(), Views(pictures, gaze, mixture, recipe.seed), out, recipe)


def train(network: SimpleNet, examples: Source, out: Path, recipe: Recipe) -> None:
    """Trains `network` into `out`, or what a run there had made of it."""
    run = _Run(network.to(memory_format=torch.channels_last), recipe, out)
    run.resume()
    saved, last = run.elapsed, time.monotonic()
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
        while run.elapsed < recipe.minutes * 60:
            loss = run.learn(*examples.draw(recipe.batch))
            now = time.monotonic()
            run.elapsed, last = run.elapsed + now - last, now
            bar.n = round(100 * min(1.0, run.elapsed / (recipe.minutes * 60)), 1)
            bar.set_postfix(step=run.step, loss=loss)
            if run.elapsed - saved >= recipe.save_every_s:
                saved = run.elapsed
                run.save()
    run.save()


class _Run:
    def __init__(self, network: SimpleNet, recipe: Recipe, out: Path) -> None:
        self.elapsed = 0.0
        self.step = 0
        self._network, self._recipe, self._out = network.train(), recipe, out
        self._average = copy.deepcopy(network).eval()
        self._optimiser = torch.optim.AdamW(
            _groups(network, recipe), lr=recipe.rate, weight_decay=recipe.weight_decay
        )

    def learn(self, pictures: Tensor, teacher: Tensor) -> float:
        recipe = self._recipe
        rate = recipe.rate_at(self.elapsed / (recipe.minutes * 60), self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        with torch.autocast("cpu", torch.bfloat16):
            logits = self._network(pictures)
        loss = combined(logits.float(), teacher, recipe.loss)
        if not bool(torch.isfinite(loss)):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.step}")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        self._follow()
        self.step += 1
        return float(loss.item())

    def save(self) -> None:
        """The averaged weights, and the state to go on from."""
        self._out.mkdir(parents=True, exist_ok=True)
        state = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        partial = self._out / "state.partial"
        torch.save(state, partial)
        partial.replace(self._out / "state.pt")
        write_weights(
            self._out / WEIGHTS_NAME, Weights(ENCODER, WIDTHS, self._average.state_dict())
        )

    def resume(self) -> None:
        path = self._out / "state.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self._network.load_state_dict(state["network"])
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.step, self.elapsed = state["step"], state["elapsed"]

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self._recipe.average, (1 + self.step) / (10 + self.step))
        pairs = zip(
            self._average.state_dict().values(), self._network.state_dict().values(), strict=True
        )
        for average, value in pairs:
            if average.is_floating_point():
                average.lerp_(value, 1 - keep)
            else:
                average.copy_(value)


def _groups(network: SimpleNet, recipe: Recipe) -> Sequence[dict[str, object]]:
    encoder = list(network.encoder.parameters())
    known = set(map(id, encoder))
    decoder = [value for value in network.parameters() if id(value) not in known]
    return [
        {"params": encoder, "factor": recipe.encoder_rate},
        {"params": decoder, "factor": 1.0},
    ]
