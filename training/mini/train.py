"""The training loop of `mini`: resumable, bounded by wall-clock time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from training.mini import model as architecture
from training.mini.batches import Batch, PatchStore
from training.mini.captions import Captioner, truth
from training.mini.losses import image_image, text_image

IMAGE_SCALE = 14.0
"""Inverse temperature of the image-image loss."""

MAX_SCALE = 60.0
"""Upper bound of the learned inverse temperature of the text-image loss."""


@dataclass(frozen=True)
class Recipe:
    """What a run depends on besides the data."""

    minutes: float = 75.0
    images: int = 128
    texts: int = 96
    rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 200
    image_weight: float = 0.7
    ema: float = 0.998
    sizes: tuple[tuple[float, int], ...] = ((0.35, 96), (0.85, 112), (1.0, 128))
    refresh_every: int = 200
    save_every_s: float = 180.0
    seed: int = 0

    def size_at(self, progress: float) -> int:
        """Input side at a share of the run: small pictures first, they train twice as fast."""
        return next((size for end, size in self.sizes if progress < end), self.sizes[-1][1])

    def rate_at(self, progress: float, step: int) -> float:
        """Learning rate: linear warm-up over steps, cosine over time."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.rate * min(1.0, (step + 1) / self.warmup_steps) * max(cosine, 0.005)


class Trainer:
    """A model, its running average, its optimiser and how far they are."""

    def __init__(self, folder: Path, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.folder, self.recipe, self.device = folder, recipe, device
        self.model = architecture.build(folder).to(device).to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            _groups(self.model, recipe.weight_decay), lr=recipe.rate, betas=(0.9, 0.98), fused=True
        )
        self.step = 0
        self.elapsed = 0.0
        mean, std = (architecture.PREPROCESS_CFG[k] for k in ("mean", "std"))
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.elapsed / (self.recipe.minutes * 60)

    def save(self) -> None:
        """Write the state to resume from, and the averaged weights as a loadable folder."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        partial = self.folder / "state.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")
        architecture.save(self.average, self.folder, {"steps": str(self.step)})

    def resume(self) -> bool:
        """Continue from the folder's last state, if there is one."""
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        return True

    def learn(self, batch: Batch, tokens: Tensor, answers: NDArray[np.float32]) -> dict[str, float]:
        """One step; returns the losses."""
        rate = self.recipe.rate_at(self.progress, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        pixels = torch.from_numpy(batch.pixels).to(self.device).permute(0, 3, 1, 2)
        images = (pixels.float() - self._mean) / self._std
        cuda = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=cuda):
            seen = self.model.encode_image(images)  # type: ignore[operator]
            said = self.model.encode_text(tokens.to(self.device))  # type: ignore[operator]
        seen, said = F.normalize(seen.float(), dim=-1), F.normalize(said.float(), dim=-1)
        scale = self.model.get_parameter("logit_scale").exp()
        text_loss = text_image(seen, said, torch.from_numpy(answers).to(self.device), scale)
        match = torch.from_numpy(batch.match).to(self.device)
        undecided = torch.from_numpy(batch.undecided).to(self.device)
        image_loss = image_image(seen, match, undecided, IMAGE_SCALE)
        loss = text_loss + self.recipe.image_weight * image_loss
        if not bool(torch.isfinite(loss)):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.step}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.get_parameter("logit_scale").clamp_(0, math.log(MAX_SCALE))
        self._follow()
        self.step += 1
        return {"text": text_loss.item(), "image": image_loss.item(), "scale": scale.item()}

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)
            else:
                self.average[name].copy_(value)

    def run(self, store: PatchStore) -> Iterator[dict[str, float]]:
        """Train until the time is up, yielding each step's losses."""
        captioner = Captioner(np.random.default_rng((self.recipe.seed, self.step, 1)))
        rng = np.random.default_rng((self.recipe.seed, self.step, 0))

        def prepare(size: int) -> tuple[Batch, Tensor, NDArray[np.float32]]:
            batch = store.draw(self.recipe.images, size, rng)
            captions = captioner.batch(batch.contents, self.recipe.texts)
            tokens = self._tokenizer([c.text for c in captions])
            return batch, tokens, truth(captions, batch.contents)

        self.model.train()
        last = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[tuple[Batch, Tensor, NDArray[np.float32]]] | None = None
            while self.progress < 1:
                size = self.recipe.size_at(self.progress)
                ready = (ahead or pool.submit(prepare, size)).result()
                if self.step and self.step % self.recipe.refresh_every == 0:
                    store.refresh()
                ahead = pool.submit(prepare, size)
                losses = self.learn(*ready)
                now = time.monotonic()
                self.elapsed, last = self.elapsed + now - last, now
                yield losses


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices only; half the rate for the text tower's transformer."""
    decayed, plain, text = [], [], []
    for name, parameter in model.named_parameters():
        if name.startswith("transformer.") or name == "text_projection":
            text.append(parameter)
        elif parameter.ndim < 2 or "embedding" in name:
            plain.append(parameter)
        else:
            decayed.append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay, "factor": 1.0},
        {"params": plain, "weight_decay": 0.0, "factor": 1.0},
        {"params": text, "weight_decay": 0.01, "factor": 0.5},
    ]


def train(data: Path, folder: Path, recipe: Recipe) -> None:
    """Train on the chunks in `data` into `folder`, resuming what is there. Raises FileNotFoundError
    where `data` holds no complete chunk."""
    store = PatchStore(data)
    if not store.refresh():
        raise FileNotFoundError(f"{data} holds no chunk of patches; run build-data first")
    trainer = Trainer(folder, recipe, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    trainer.resume()
    saved = trainer.elapsed
    smooth: dict[str, float] = {}
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
        for losses in trainer.run(store):
            for key, value in losses.items():
                smooth[key] = 0.98 * smooth.get(key, value) + 0.02 * value
            bar.n = round(100 * min(trainer.progress, 1.0), 1)
            bar.set_postfix(step=trainer.step, patches=len(store), **smooth)
            if trainer.elapsed - saved >= recipe.save_every_s:
                saved = trainer.elapsed
                trainer.save()
    trainer.save()
