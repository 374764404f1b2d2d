"""How far the converted network and the TFLite one say the same of photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from training.mobilenet.convert import as_input
from training.mobilenet.tflite import Pixels, TfliteNet, centre, outputs


@dataclass(frozen=True)
class Agreement:
    """Over some photos: share with the same first class, share whose first class of the TFLite net
    is among the other's first five, and the mean cosine of the two distributions."""

    photos: int
    top1: float
    top5: float
    cosine: float

    def __str__(self) -> str:
        return (
            f"{self.photos} photos: same first class {self.top1:.3f}, "
            f"among the first five {self.top5:.3f}, cosine {self.cosine:.3f}"
        )


def read(path: Path) -> Pixels:
    """A photo as both nets see it."""
    with Image.open(path) as image:
        return centre(np.asarray(image.convert("RGB")))


@torch.inference_mode()
def agreement(net: nn.Module, tflite: Path, pictures: Sequence[Pixels]) -> Agreement:
    """Compare the two on pictures `(224, 224, 3) uint8`."""
    theirs = outputs(TfliteNet(tflite), pictures)
    parts = []
    for start in range(0, len(pictures), 16):
        batch = torch.stack([as_input(p) for p in pictures[start : start + 16]])
        parts.append(net(batch).softmax(dim=1).numpy())
    ours = np.concatenate(parts)
    first = theirs.argmax(axis=1)
    five = np.argsort(-ours, axis=1)[:, :5]
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return Agreement(
        len(pictures),
        float((ours.argmax(axis=1) == first).mean()),
        float((five == first[:, None]).any(axis=1).mean()),
        float(cosine.mean()),
    )
