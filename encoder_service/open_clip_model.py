"""An open_clip network as a `Model`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from encoder_service.model import ModelCard, Pixels, Running, TokenIds, Tokens, Vectors

_CHARACTERS_PER_TOKEN = 16
"""A text is cut at so many characters a token before it is tokenized: byte-pair encoding takes time
quadratic in the length of a word, and no text that fits needs as many."""


class OpenClipModel:
    """Runs an open_clip network that is in eval mode, on the device and in the precision of `card`.

    Images come as uint8 and are normalised on the device, so that a quarter of the bytes travel.
    `tokenizer` is open_clip's. One thread at a time may call `begin_images` and `begin_texts`.
    """

    def __init__(self, card: ModelCard, network: Any, tokenizer: Any) -> None:
        self._card = card
        self._network = network
        self._tokenizer = tokenizer
        self._device = torch.device(card.device)
        self._dtype = torch.bfloat16 if card.precision == "bfloat16" else torch.float32
        mean = torch.tensor(card.preprocessing.mean, device=self._device) * 255.0
        std = torch.tensor(card.preprocessing.std, device=self._device) * 255.0
        self._offset = mean.view(1, 3, 1, 1)
        self._scale = (1.0 / std).view(1, 3, 1, 1)
        self._padding = int(self._rows([""])[0, -1])

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self._card

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """White space is collapsed; a text that is too long loses its end. Safe from any thread."""
        longest = self._card.max_text_tokens * _CHARACTERS_PER_TOKEN
        plain = [" ".join(text.split()) for text in texts]
        rows = self._rows([text[:longest] for text in plain])
        # A text that still fills the one place more than there is has been cut.
        truncated = rows[:, -1] != self._padding
        truncated |= np.array([len(text) > longest for text in plain], dtype=np.bool_)
        ids = self._tokenizer([text[:longest] for text in plain]).numpy()
        return Tokens(np.ascontiguousarray(ids, dtype=np.int64), truncated)

    def begin_images(self, pixels: Sequence[Pixels]) -> Running:
        """Starts to embed crops; on a CPU they are done when this returns."""
        with torch.inference_mode():
            batch = self._on_device(pixels).permute(0, 3, 1, 2)
            batch = ((batch.float() - self._offset) * self._scale).to(self._dtype)
            return self._begun(self._network.encode_image(batch))

    def begin_texts(self, ids: Sequence[TokenIds]) -> Running:
        """Starts to embed texts; on a CPU they are done when this returns."""
        with torch.inference_mode():
            return self._begun(self._network.encode_text(self._on_device(ids)))

    def _rows(self, texts: Sequence[str]) -> TokenIds:
        """Tokens with room for one more than the model takes."""
        length = self._card.max_text_tokens + 1
        rows: TokenIds = self._tokenizer(list(texts), context_length=length).numpy()
        return rows

    def _on_device(self, arrays: Sequence[Pixels] | Sequence[TokenIds]) -> torch.Tensor:
        """The arrays as one tensor. Through page-locked memory, so that copying overlaps work."""
        if self._device.type == "cpu":
            return torch.from_numpy(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
        rows = sum(len(array) for array in arrays)
        first = torch.from_numpy(arrays[0])
        staged = torch.empty((rows, *first.shape[1:]), dtype=first.dtype, pin_memory=True)
        np.concatenate(arrays, out=staged.numpy())
        return staged.to(self._device, non_blocking=True)

    def _begun(self, features: torch.Tensor) -> Running:
        vectors = functional.normalize(features.float(), dim=-1)
        if self._device.type == "cpu":
            return _Done(np.ascontiguousarray(vectors.numpy()))
        arriving = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
        arriving.copy_(vectors, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return _OnItsWay(arriving, event)


@dataclass(frozen=True, slots=True)
class _Done:
    vectors: Vectors

    def done(self) -> bool:
        return True

    def result(self) -> Vectors:
        return self.vectors


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    vectors: torch.Tensor
    event: torch.cuda.Event

    def done(self) -> bool:
        return bool(self.event.query())  # type: ignore[no-untyped-call]

    def result(self) -> Vectors:
        self.event.synchronize()
        return self.vectors.numpy()
