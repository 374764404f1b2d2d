"""Saliency models against the teacher, and by what selectors find with them: held-out photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from evaluation.study.captured import Captured, captured, counted_objects
from evaluation.study.loading import load_dataset
from patch_selection import SELECTORS, Saliency, select_patches
from patch_selection.saliency import RawSaliency
from training.simplenet.losses import correlation, divergence, nss
from training.simplenet.photos import is_held_out, list_photos, read_photo

SIDE = 256
_TINY = 1e-6


@dataclass(frozen=True)
class Agreement:
    """How a model's maps agree with the teacher's; means over photos."""

    correlation: float
    divergence: float
    nss: float


@dataclass(frozen=True)
class Row:
    """Share of the objects that a selector captures, and patches a photo."""

    selector: str
    captured: float
    objects: int
    patches: float


def agreement(model: RawSaliency, teacher: RawSaliency, data: Path, limit: int) -> Agreement:
    """On the first `limit` held-out photos of each source below `data`.

    They are compared as densities over 256 x 256 pixels: a map that is never negative is one but
    for its scale, another holds the logits of one.
    """
    rows = []
    for image in tqdm(list(_held_out(data, limit)), desc=model.name):
        found, wanted = (_logits(one.raw([image])[0]) for one in (model, teacher))
        target = torch.softmax(wanted.flatten(1), 1).view_as(wanted)
        density = torch.softmax(found.flatten(1), 1).view_as(found)
        rows.append(
            (
                float(correlation(density, target)),
                float(divergence(found, target)),
                float(nss(found, target)),
            )
        )
    return Agreement(*np.mean(rows, axis=0).tolist())


def captures(saliency: Saliency, photos: Path, selectors: Sequence[str]) -> Iterator[Row]:
    """On the held-out photos of a COCO-format folder (thesis section 4.2), each when it is done."""
    whole = load_dataset(photos)
    kept = tuple(photo for photo in whole.photos if is_held_out(photo.path.name))
    dataset = replace(whole, photos=kept)
    objects = counted_objects(dataset)
    for name in selectors:
        boxes = []
        for photo in tqdm(dataset.photos, desc=f"{saliency.name}, {name}"):
            found = select_patches(read_photo(photo.path), saliency, SELECTORS[name]).patches
            boxes.append(
                np.array([(one.box.x, one.box.y, one.box.w, one.box.h) for one in found], np.int32)
            )
        patches, share = captured(objects, boxes).within(Captured.NEVER)
        yield Row(name, share, len(objects), patches)


def _held_out(data: Path, limit: int) -> Iterator[NDArray[np.uint8]]:
    counts: dict[str, int] = {}
    for photo in list_photos(data):
        if photo.held_out and counts.get(photo.source, 0) < limit:
            counts[photo.source] = counts.get(photo.source, 0) + 1
            yield read_photo(photo.path)


def _logits(raw: NDArray[np.float32]) -> Tensor:
    how = cv2.INTER_AREA if min(raw.shape) >= SIDE else cv2.INTER_LINEAR
    sized = np.asarray(cv2.resize(raw, (SIDE, SIDE), interpolation=how), np.float32)
    logits = np.log(sized + _TINY) if raw.min() >= 0 else sized
    return torch.from_numpy(logits)[None]
