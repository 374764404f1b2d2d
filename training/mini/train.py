"""The training loop of `mini`: resumable, bounded by wall-clock time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
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
from training.mini.objective import Objective, Said, Weights, aims
from training.mini.photo_batches import PhotoBatch, ViewStore
from training.mini.text import draw, encode, sentences
from training.mini.warm_start import fit_projection, load_image_tower, teach_names
from training.mini.words import Words, clean

MAX_SCALE = 60.0
"""Upper bound of the learned inverse temperature of the text-image losses."""

EARLY = ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2")
"""Parts of the image tower that are held still at first: they cost most of a step and, after
ImageNet, have the least to learn."""


@dataclass(frozen=True)
class Recipe:
    """What a run depends on besides the data."""

    minutes: float = 60.0
    scenes: int = 104
    photos: int = 24
    captions: int = 96
    names: int = 48
    rate: float = 1e-3
    weight_decay: float = 0.03
    warmup_steps: int = 50
    ema: float = 0.995
    sizes: tuple[tuple[float, int], ...] = ((0.45, 112), (1.0, 128))
    thaw_early: float = 0.85
    name_steps: int = 300
    save_every_s: float = 180.0
    seed: int = 0
    weights: Weights = field(default_factory=Weights)

    def size_at(self, progress: float) -> int:
        """Input side at a share of the run: small pictures first, they train faster."""
        return next((size for end, size in self.sizes if progress < end), self.sizes[-1][1])

    def rate_at(self, progress: float, step: int) -> float:
        """Learning rate: linear warm-up over steps, cosine over time."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.rate * min(1.0, (step + 1) / self.warmup_steps) * max(cosine, 0.01)


@dataclass(frozen=True)
class Data:
    """All that is learned from. `coco`: how many of the words, the first, are COCO's classes."""

    scenes: PatchStore
    photos: ViewStore
    words: Words
    coco: int
    backbone: Path


@dataclass(frozen=True)
class Step:
    """One batch of scenes and photos, and the tokens of its texts."""

    scenes: Batch
    answers: NDArray[np.float32]
    photos: PhotoBatch
    tokens: Tensor
    captions: int
    names: tuple[int, ...]


class Trainer:
    """A model, its running average, its optimiser and how far they are."""

    def __init__(self, folder: Path, recipe: Recipe, data: Data) -> None:
        torch.manual_seed(recipe.seed)
        self.folder, self.recipe, self.data = folder, recipe, data
        self.model = architecture.build(folder).to(memory_format=torch.channels_last)
        self.average: dict[str, Tensor] = {}
        self.optimiser = torch.optim.AdamW(
            _groups(self.model, recipe.weight_decay), lr=recipe.rate, betas=(0.9, 0.98), fused=True
        )
        self.step = 0
        self.elapsed = 0.0
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self._objective = Objective(data.words, data.coco, recipe.weights)
        signs = data.photos.name[data.photos.kind == "signs"]
        self._signs = sorted({str(name) for name in signs})
        self._frozen: bool | None = None

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.elapsed / (self.recipe.minutes * 60)

    def begin(self) -> None:
        """Continue from the folder's last state, or make the warm start."""
        path = self.folder / "state.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.elapsed = state["step"], state["elapsed"]
            return
        rng = np.random.default_rng((self.recipe.seed, 2))
        views = self.data.photos
        load_image_tower(self.model, self.data.backbone)
        cosine = fit_projection(
            self.model, views, aims(views.name, views.vector, self.data.words), rng
        )
        loss = teach_names(
            self.model, self._tokenizer, self.data.words, self.recipe.name_steps, rng
        )
        tqdm.write(f"warm start: cosine of the projection {cosine:.3f}, loss of names {loss:.3f}")
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.save()

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

    def _mode(self) -> None:
        """The early part still or not. Batch normalisations keep their statistics: scenes and
        photos share a batch, and the statistics of such a mixture would be those of neither."""
        frozen = self.progress < self.recipe.thaw_early
        if frozen == self._frozen:
            return
        self._frozen = frozen
        self.model.train()
        trunk = self.model.get_submodule("visual.trunk").eval()
        for name in EARLY:
            trunk.get_submodule(name).requires_grad_(not frozen)

    def learn(self, step: Step) -> dict[str, float]:
        """One step; returns the losses."""
        self._mode()
        rate = self.recipe.rate_at(self.progress, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        pixels = torch.from_numpy(np.concatenate([step.scenes.pixels, step.photos.pixels]))
        images = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        seen = F.normalize(self.model.encode_image(images).float(), dim=-1)  # type: ignore[operator]
        said = encode(self.model, step.tokens)
        scenes, ends = len(step.scenes.pixels), (step.captions, step.captions + len(step.names))
        texts = Said(
            captions=said[: ends[0]],
            names=said[ends[0] : ends[1]],
            rows=torch.tensor(step.names),
            signs=said[ends[1] :],
            sign_classes=self._signs,
        )
        scale = self.model.get_parameter("logit_scale").exp()
        loss, parts = self._objective(
            step.scenes, step.answers, seen[:scenes], step.photos, seen[scenes:], texts, scale
        )
        if not bool(torch.isfinite(loss)):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.step}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.get_parameter("logit_scale").clamp_(0, math.log(MAX_SCALE))
        self._follow()
        self.step += 1
        return parts

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)
            else:
                self.average[name].copy_(value)

    def run(self) -> Iterator[dict[str, float]]:
        """Train until the time is up, yielding each step's losses."""
        captioner = Captioner(np.random.default_rng((self.recipe.seed, self.step, 1)))
        rng = np.random.default_rng((self.recipe.seed, self.step, 0))
        data, recipe = self.data, self.recipe

        def prepare(size: int) -> Step:
            scenes = data.scenes.draw(recipe.scenes, size, rng)
            captions = captioner.batch(scenes.contents, recipe.captions)
            names = tuple(draw(data.words, recipe.names, data.coco, rng))
            texts = [c.text for c in captions]
            texts += sentences([data.words.names[n] for n in names], rng)
            texts += sentences([f"{clean(s)} sign" for s in self._signs], rng)
            photos = data.photos.draw(recipe.photos, size, rng)
            answers = truth(captions, scenes.contents)
            return Step(scenes, answers, photos, self._tokenizer(texts), len(captions), names)

        last = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[Step] | None = None
            while self.progress < 1:
                size = recipe.size_at(self.progress)
                ready = (ahead or pool.submit(prepare, size)).result()
                ahead = pool.submit(prepare, size)
                losses = self.learn(ready)
                now = time.monotonic()
                self.elapsed, last = self.elapsed + now - last, now
                yield losses


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices only; what came from ImageNet moves more slowly than the rest."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        trunk = name.removeprefix("visual.trunk.")
        if trunk.startswith("classifier") or not name.startswith("visual."):
            factor = 1.0
        else:
            factor = 0.15 if trunk.startswith(EARLY) else 0.35
        plain = parameter.ndim < 2 or "embedding" in name
        groups.setdefault((factor, 0.0 if plain else weight_decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in groups.items()
    ]


def train(data: Data, folder: Path, recipe: Recipe) -> None:
    """Train into `folder`, resuming what is there. Raises FileNotFoundError where there are no
    patches of scenes."""
    if not data.scenes.refresh():
        raise FileNotFoundError("there is no chunk of patches; run build-data first")
    trainer = Trainer(folder, recipe, data)
    trainer.begin()
    saved = trainer.elapsed
    smooth: dict[str, float] = {}
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
        for losses in trainer.run():
            for key, value in losses.items():
                smooth[key] = 0.95 * smooth.get(key, value) + 0.05 * value
            bar.n = round(100 * min(trainer.progress, 1.0), 1)
            bar.set_postfix_str(
                f"step={trainer.step} " + " ".join(f"{k}={v:.2f}" for k, v in smooth.items())
            )
            if trainer.elapsed - saved >= recipe.save_every_s:
                saved = trainer.elapsed
                trainer.save()
    trainer.save()
