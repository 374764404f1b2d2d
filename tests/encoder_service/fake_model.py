"""A model without weights: what a crop's colours are and which words a text has."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from encoder_service.model import (
    DIM,
    ModelCard,
    Pixels,
    Preprocessing,
    Running,
    TokenIds,
    Tokens,
    Vectors,
)

MAX_TOKENS = 8


def unit(rows: np.ndarray) -> Vectors:
    wide = rows.astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


@dataclass
class FakeModel:
    """Deterministic vectors. Every batch is noted; with `gate`, each waits for one release.

    `asynchronous`: batches are computed in a thread of their own, as on an accelerator.
    """

    gate: threading.Semaphore | None = None
    asynchronous: bool = False
    failing: bool = False
    side: int = 16
    batches: list[tuple[str, int]] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def card(self) -> ModelCard:
        preprocessing = Preprocessing(self.side, "bicubic", "longest", 0, (0, 0, 0), (1, 1, 1))
        return ModelCard("fake", "f" * 32, DIM, "cpu", "float32", MAX_TOKENS, preprocessing)

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        ids = np.zeros((len(texts), MAX_TOKENS), dtype=np.int64)
        truncated = np.zeros(len(texts), dtype=np.bool_)
        for row, text in enumerate(texts):
            words = text.split()
            truncated[row] = len(words) > MAX_TOKENS
            for column, word in enumerate(words[:MAX_TOKENS]):
                ids[row, column] = 1 + zlib.crc32(word.encode()) % 10_000
        return Tokens(ids, truncated)

    def begin_images(self, pixels: Sequence[Pixels]) -> Running:
        return self._begin("images", np.concatenate(pixels), self.image_vectors)

    def begin_texts(self, ids: Sequence[TokenIds]) -> Running:
        return self._begin("texts", np.concatenate(ids), self.text_vectors)

    def _begin(self, kind, batch, embed) -> Running:
        self.batches.append((kind, len(batch)))
        self.begun.release()
        running = _FakeRunning(self, batch, embed)
        if not self.asynchronous:
            running.work()
            if running.error:
                raise running.error
        else:
            threading.Thread(target=running.work, daemon=True).start()
        return running

    def image_vectors(self, pixels: Pixels) -> Vectors:
        """Channel means and spreads, and the means of 4 x 4 fields."""
        n, side = pixels.shape[:2]
        wide = pixels.astype(np.float64) / 255
        fields = wide.reshape(n, 4, side // 4, 4, side // 4, 3).mean(axis=(2, 4)).reshape(n, -1)
        features = np.concatenate(
            [wide.mean(axis=(1, 2)), wide.std(axis=(1, 2)), fields, np.ones((n, 1))], axis=1
        )
        rows = np.zeros((n, DIM))
        rows[:, : features.shape[1]] = features
        return unit(rows)

    def text_vectors(self, ids: TokenIds) -> Vectors:
        return unit(
            np.stack([np.random.default_rng([int(i) for i in row]).normal(size=DIM) for row in ids])
        )


class _FakeRunning:
    def __init__(self, model: FakeModel, batch, embed) -> None:
        self._model, self._batch, self._embed = model, batch, embed
        self._ended = threading.Event()
        self.error: Exception | None = None
        self._vectors: Vectors | None = None

    def work(self) -> None:
        if self._model.gate is not None:
            self._model.gate.acquire()
        if self._model.failing:
            self.error = RuntimeError("fake failure")
        else:
            self._vectors = self._embed(self._batch)
        self._ended.set()

    def done(self) -> bool:
        return self._ended.is_set()

    def result(self) -> Vectors:
        self._ended.wait()
        if self.error:
            raise self.error
        return self._vectors
