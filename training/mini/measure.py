"""Precision at 16 of an encoder on generated scenes, by the protocol of thesis section 4.3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from evaluation.relevance import captures_any, mean_vector, precision_at
from evaluation.scenes import HELDOUT_STYLES, TARGET_CLASSES, Scene, generate_scene
from patchsearch.geometry import Box
from training.mini.patches import tight_crop

K = 16
QUERY_SEEDS = 700_000
"""Query crops come from scenes with seeds from here on: none of them is in the collection."""

QUERIES_PER_CLASS = 20
MIN_QUERY_AREA = 1500
"""Least area of an object that becomes a query crop, pixels: the thesis picked clear ones."""

TEXTS: Mapping[str, tuple[str, ...]] = {
    "ambulance": ("an ambulance", "a photo of an ambulance", "An ambulance", "a medical vehicle"),
    "animal": ("an animal", "a photo of an animal", "a wild animal on the road", "An animal"),
    "road-narrows": (
        "a road narrows sign",
        "A warning road narrowing traffic sign",
        "traffic sign warning that the road narrows",
        "A triangle sign with two lines",
    ),
}
"""Text queries per class: thesis table 4.1 and free wordings."""

Select = Callable[[Scene, int], list[Box]]
Vectors = NDArray[np.float32]


class Encoder:
    """A folder's model behind plain open_clip, with its own preprocessing."""

    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder}"
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(name)
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(name)

    @torch.inference_mode()
    def crops(self, crops: Sequence[NDArray[np.uint8]]) -> Vectors:
        """`(n, 512)` unit rows of RGB crops."""
        out = []
        for start in range(0, len(crops), 64):
            images = [self.preprocess(Image.fromarray(c)) for c in crops[start : start + 64]]
            out.append(self.model.encode_image(torch.stack(images), normalize=True).numpy())
        return np.concatenate(out).astype(np.float32)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Vectors:
        """`(n, 512)` unit rows of texts."""
        rows = self.model.encode_text(self.tokenizer(list(texts)), normalize=True)
        return np.asarray(rows.numpy(), np.float32)


@dataclass(frozen=True)
class Collection:
    """Pixels and boxes of all chosen patches, whose they are, and which classes they capture."""

    crops: list[NDArray[np.uint8]]
    image_ids: list[int]
    boxes: list[Box]
    relevant: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Figures:
    """Precision at 16 of one target class: mean over texts, mean over crops, averaged crops."""

    text: float
    crop: float
    average: float
    relevant: int


def collect(seeds: Iterable[int], select: Select) -> Collection:
    """Cut the scenes of these seeds, held-out styles in turn."""
    crops, image_ids, boxes = [], [], []
    relevant: dict[str, list[bool]] = {name: [] for name in TARGET_CLASSES}
    for seed in tqdm(list(seeds), desc="collection"):
        scene = generate_scene(seed, HELDOUT_STYLES[seed % len(HELDOUT_STYLES)])
        for box in select(scene, seed):
            crops.append(_cut(scene, box))
            image_ids.append(seed)
            boxes.append(box)
            for name, categories in TARGET_CLASSES.items():
                things = [o.box for o in scene.objects if o.category in categories]
                relevant[name].append(captures_any(box, things))
    truth = {name: np.array(rows) for name, rows in relevant.items()}
    return Collection(crops, image_ids, boxes, truth)


def query_crops(per_class: int = QUERIES_PER_CLASS) -> dict[str, list[NDArray[np.uint8]]]:
    """Crops of clear objects from scenes outside the collection, at most one a scene and class."""
    out: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in TARGET_CLASSES}
    seed = QUERY_SEEDS
    while any(len(crops) < per_class for crops in out.values()):
        rng = np.random.default_rng(seed)
        scene = generate_scene(seed, HELDOUT_STYLES[seed % len(HELDOUT_STYLES)])
        seed += 1
        height, width = scene.pixels.shape[:2]
        for name, categories in TARGET_CLASSES.items():
            clear = [
                o
                for o in scene.objects
                if o.category in categories and o.box.area >= MIN_QUERY_AREA and o.visible > 0.8
            ]
            if clear and len(out[name]) < per_class:
                out[name].append(_cut(scene, tight_crop(clear[0].box, width, height, rng)))
    return out


def measure(
    encoder: Encoder, collection: Collection, queries: Mapping[str, Sequence[NDArray[np.uint8]]]
) -> dict[str, Figures]:
    """Precision at 16 of every class, exhaustive search by cosine."""
    vectors = encoder.crops(collection.crops)
    out = {}
    for name, relevant in collection.relevant.items():

        def precision(query: Vectors, relevant: NDArray[np.bool_] = relevant) -> float:
            scores = vectors @ query
            return precision_at(K, scores, collection.image_ids, collection.boxes, relevant)

        crops = encoder.crops(queries[name])
        out[name] = Figures(
            text=float(np.mean([precision(q) for q in encoder.texts(TEXTS[name])])),
            crop=float(np.mean([precision(q) for q in crops])),
            average=precision(mean_vector(crops)),
            relevant=int(relevant.sum()),
        )
    return out


def table(figures: Mapping[str, Figures]) -> str:
    """The figures as a Markdown table, with the mean over classes."""
    lines = ["| class | text | crop | average of 20 | relevant patches |", "|---|---|---|---|---|"]
    for name, f in figures.items():
        lines.append(f"| {name} | {f.text:.2f} | {f.crop:.2f} | {f.average:.2f} | {f.relevant} |")
    means = [
        float(np.mean([getattr(f, k) for f in figures.values()]))
        for k in ("text", "crop", "average")
    ]
    lines.append("| mean | " + " | ".join(f"{m:.2f}" for m in means) + " | |")
    return "\n".join(lines)


def _cut(scene: Scene, box: Box) -> NDArray[np.uint8]:
    return np.ascontiguousarray(scene.pixels[box.y : box.bottom, box.x : box.right])
