"""SimpleNet as a saliency model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch

from patch_selection.saliency.interface import RgbImage
from patch_selection.saliency.simplenet.network import SIDE
from patch_selection.saliency.simplenet.weights import Weights

MAX_BATCH = 32
"""Pictures in one forward pass: about 200 MB of features for a small encoder."""

_PLAIN_LEVELS = 4
"""A picture whose channels each stay within so many of 256 levels shows nothing."""
_NOTHING = -20.0
"""The raw value of a picture that shows nothing: below all that a calibration knows."""


class SimpleNetMaps:
    """Raw maps of 256 x 256, whatever the picture's shape. Thread-safe: one forward pass at a time.

    In bfloat16 where the processor computes in it, which is 1.7 times as fast, else in float32.

    Raises `InvalidArgument` (SALIENCY_WEIGHTS_INVALID) for weights that do not fit.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        self._name = name
        self._network = weights.network().to(memory_format=torch.channels_last)
        self._half = has_bfloat16()
        # Each thread that calls into torch would bring its own workers along.
        self._one = threading.Lock()

    @property
    def name(self) -> str:
        """The name under which the model is loaded."""
        return self._name

    def raw(self, images: Sequence[RgbImage]) -> list[npt.NDArray[np.float32]]:
        """(256, 256) each: the logarithm of how much likelier than on average a pixel is to be
        looked at, or searched for; of a plain picture, the same low value everywhere."""
        maps: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(images), MAX_BATCH):
            batch = np.stack([stretched(image) for image in images[start : start + MAX_BATCH]])
            logs = self._logs(batch)
            # A network sees the border of the picture, if nothing else.
            plain = np.ptp(batch, axis=(1, 2)).max(axis=1) <= _PLAIN_LEVELS
            logs[plain] = _NOTHING
            maps += list(logs)
        return maps

    def _logs(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with (
            self._one,
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=self._half),
        ):
            pictures = torch.from_numpy(batch).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
            logits = self._network(pictures).float().flatten(1)
            logs = torch.log_softmax(logits, 1) + float(np.log(SIDE * SIDE))
            return np.array(logs.view(-1, SIDE, SIDE).numpy(), np.float32)


def stretched(image: RgbImage) -> RgbImage:
    """The picture as the network sees it, (256, 256, 3) uint8."""
    small = image
    # Halving is many times faster than averaging areas of odd sizes, and the same but for rounding.
    while min(small.shape[:2]) >= 4 * SIDE:
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = np.asarray(cv2.resize(small, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    how = cv2.INTER_AREA if max(small.shape[:2]) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=how), np.uint8)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, as far as PyTorch tells."""
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in known)
