"""The seam between a study and the encoder that it measures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchsearch.geometry import Box

if TYPE_CHECKING:
    from encoder_service.open_clip_model import OpenClipModel

RgbImage: TypeAlias = NDArray[np.uint8]
"""(height, width, 3) uint8, red, green, blue."""

Vectors: TypeAlias = NDArray[np.float32]
"""(n, d) float32, unit rows."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

_CPU_BATCH, _CUDA_BATCH = 32, 256
_TEXT_BATCH = 64


class Embedder(Protocol):
    """Embeds pictures and texts into one space."""

    @property
    def name(self) -> str:
        """The name under which the model was opened, such as `mini`."""
        ...

    @property
    def fingerprint(self) -> str:
        """What makes two embedders give the same vectors: keys caches."""
        ...

    def crops(self, crops: Sequence[RgbImage]) -> Vectors:
        """One unit vector a crop, in their order: (n, d) float32.

        Crops are (height, width, 3) uint8 RGB of any sizes; what is not square goes by the model's
        own preprocessing.
        """
        ...

    def texts(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text, in their order: (n, d) float32."""
        ...


@dataclass(frozen=True)
class EncoderChoice:
    """Which encoder to open, and how: a name as `encoder_service.model_loading.load_encoder` takes.

    `precision` is float32 unless asked for otherwise: `auto` measures which is faster, so two runs
    could differ in the last digits.
    """

    name: str = "mini"
    device: str = "auto"
    precision: Precision = "float32"


class EncoderEmbedder:
    """An encoder of this project, in this process. One thread at a time."""

    def __init__(self, model: OpenClipModel) -> None:
        self._model = model
        self._batch = _CPU_BATCH if model.card.device == "cpu" else _CUDA_BATCH

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.card.name

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint and the precision that it runs in."""
        return f"{self._model.card.fingerprint}-{self._model.card.precision}"

    @property
    def choice(self) -> EncoderChoice:
        """How to open the same model in the same way in another process."""
        card = self._model.card
        precision: Precision = "bfloat16" if card.precision == "bfloat16" else "float32"
        return EncoderChoice(card.name, card.device, precision)

    @property
    def device(self) -> str:
        """Where it runs, such as `cpu`."""
        return self._model.card.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._model.card.dim

    def crops(self, crops: Sequence[RgbImage]) -> Vectors:
        """See `Embedder.crops`."""
        from encoder_service.cropping import cut_crops, whole

        preprocessing = self._model.card.preprocessing
        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(crops), self._batch):
            part = crops[start : start + self._batch]
            pixels = [cut_crops(crop, [whole(crop)], preprocessing) for crop in part]
            rows.append(self._model.begin_images(pixels).result())
        return np.concatenate(rows)

    def cut(self, photo: RgbImage, boxes: Sequence[Box]) -> NDArray[np.uint8]:
        """The boxes of a photo at the model's input size: (n, side, side, 3) uint8."""
        from encoder_service.cropping import cut_crops

        return cut_crops(photo, boxes, self._model.card.preprocessing)

    def embed(self, pixels: NDArray[np.uint8]) -> Vectors:
        """The vectors of what `cut` gave."""
        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(pixels), self._batch):
            rows.append(self._model.begin_images([pixels[start : start + self._batch]]).result())
        return np.concatenate(rows)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.texts`."""
        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(texts), _TEXT_BATCH):
            tokens = self._model.tokenize(texts[start : start + _TEXT_BATCH])
            rows.append(self._model.begin_texts([tokens.ids]).result())
        return np.concatenate(rows)


def open_embedder(choice: EncoderChoice, *, threads: int) -> EncoderEmbedder:
    """Opens an encoder with so many threads for this process.

    Sets what the process has only one of: the thread counts of torch and OpenCV. Raises
    `PatchsearchError` as `load_encoder` does.
    """
    # Threads that spin while they wait starve every other process; read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import cv2
    import torch

    from encoder_service.model_loading import load_encoder

    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    loaded = load_encoder(choice.name, device=choice.device, precision=choice.precision)
    return EncoderEmbedder(loaded.model)
