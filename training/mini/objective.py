"""What one step of training asks for: scenes by truth, photos by teachers and labels, names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.mini.batches import Batch
from training.mini.losses import image_image, text_image
from training.mini.photo_batches import PhotoBatch
from training.mini.photo_losses import named, relations, towards
from training.mini.text import name_loss
from training.mini.words import Words, clean, unit

IMAGE_SCALE = 14.0
"""Inverse temperature of the image-image losses."""

CLASS_SCALE = 16.0
"""Inverse temperature of naming a photo's object."""


@dataclass(frozen=True)
class Weights:
    """How much each part counts."""

    scene_text: float = 1.0
    scene_image: float = 1.0
    towards: float = 2.0
    named: float = 1.0
    same_name: float = 1.0
    sign_text: float = 0.4
    relations: float = 0.3
    names: float = 1.0


@dataclass(frozen=True)
class Said:
    """Unit vectors of the texts of a step: captions of scenes, names (with their rows among all),
    and one text for each of the sign classes listed."""

    captions: Tensor
    names: Tensor
    rows: Tensor
    signs: Tensor
    sign_classes: Sequence[str]


def aims(
    batch_name: NDArray[np.str_], conse: NDArray[np.float32], words: Words
) -> NDArray[np.float32]:
    """Unit vectors `(n, 512)` that views should have: ConSE's and, for objects whose name has a
    vector, that one with twice the weight."""
    rows = words.rows()
    known = np.array([rows.get(clean(str(n)), -1) if n else -1 for n in batch_name])
    named_vectors = np.where(known[:, None] >= 0, words.vectors[known], 0)
    return unit((conse + 2 * named_vectors).astype(np.float32))


def labels(batch_name: NDArray[np.str_], classes: Sequence[str]) -> NDArray[np.int64]:
    """The place of each name among the classes, -1 where it is not there."""
    place = {name: row for row, name in enumerate(classes)}
    return np.array([place.get(clean(str(n)), -1) if n else -1 for n in batch_name], np.int64)


def same_name(name: NDArray[np.str_]) -> tuple[Tensor, Tensor]:
    """Image-image targets of views: the same name matches; windows match nothing and, since nobody
    knows what they show, are no counter-example of anything."""
    known = name != ""
    match = (name[:, None] == name[None, :]) & known[:, None]
    undecided = np.broadcast_to(~known[None, :], match.shape) | ~known[:, None]
    return torch.from_numpy(match.astype(np.float32)), torch.from_numpy(undecided.copy())


class Objective:
    """The weighted sum, and its parts for the log. `coco` classes are the first of `words`."""

    def __init__(self, words: Words, coco: int, weights: Weights) -> None:
        self._words, self._weights = words, weights
        self._vectors = torch.from_numpy(words.vectors)
        self._coco = words.names[:coco]

    def __call__(
        self,
        scenes: Batch,
        answers: NDArray[np.float32],
        scene_images: Tensor,
        photos: PhotoBatch,
        photo_images: Tensor,
        said: Said,
        scale: Tensor,
    ) -> tuple[Tensor, dict[str, float]]:
        """Unit rows everywhere; `answers (captions, scenes)` is the truth of each caption."""
        w = self._weights
        parts = {
            "text": w.scene_text
            * text_image(scene_images, said.captions, torch.from_numpy(answers), scale),
            "image": w.scene_image
            * image_image(
                scene_images,
                torch.from_numpy(scenes.match),
                torch.from_numpy(scenes.undecided),
                IMAGE_SCALE,
            ),
            "names": w.names * name_loss(said.names, self._vectors, said.rows),
            **self._photo_parts(photos, photo_images, said, scale),
        }
        total = torch.stack(list(parts.values())).sum()
        return total, {name: part.item() for name, part in parts.items()}

    def _photo_parts(
        self, photos: PhotoBatch, images: Tensor, said: Said, scale: Tensor
    ) -> dict[str, Tensor]:
        w = self._weights
        known = labels(photos.name, self._coco)
        aim = torch.from_numpy(aims(photos.name, photos.vector, self._words))
        weight = torch.from_numpy(np.where(known >= 0, 1.0, photos.weight).astype(np.float32))
        parts = {
            "towards": w.towards * towards(images, aim, weight),
            "named": w.named
            * named(images, self._vectors[: len(self._coco)], torch.from_numpy(known), CLASS_SCALE),
            "same": w.same_name * image_image(images, *same_name(photos.name), IMAGE_SCALE),
        }
        rows = np.flatnonzero(photos.sign)
        if len(rows) > 1:
            mine = images[torch.from_numpy(rows)]
            truth = np.array(said.sign_classes)[:, None] == photos.name[rows][None, :]
            parts["sign"] = w.sign_text * text_image(
                mine, said.signs, torch.from_numpy(truth.astype(np.float32)), scale
            )
            parts["likeness"] = w.relations * relations(
                mine, torch.from_numpy(photos.feature[rows]), IMAGE_SCALE
            )
        return parts
