"""An embedder that asks another one only for what the store does not have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from evaluation.study.embedding import Embedder, RgbImage, Vectors
from evaluation.study.store import StudyStore

_CHUNK = 512
"""Crops whose vectors are written at a time."""


class RememberingEmbedder:
    """Crops are known by their pixels. Texts are always embedded anew: there are few.

    One thread at a time.
    """

    def __init__(self, embedder: Embedder, store: StudyStore) -> None:
        self._embedder = embedder
        self._store = store

    @property
    def name(self) -> str:
        """The name of the embedder that is asked."""
        return self._embedder.name

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the embedder that is asked."""
        return self._embedder.fingerprint

    def crops(self, crops: Sequence[RgbImage]) -> Vectors:
        """See `Embedder.crops`."""
        if not len(crops):
            return self._embedder.crops(crops)
        return np.concatenate(
            [self._some(crops[start : start + _CHUNK]) for start in range(0, len(crops), _CHUNK)]
        )

    def texts(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.texts`."""
        return self._embedder.texts(texts)

    def _some(self, crops: Sequence[RgbImage]) -> Vectors:
        digests = [_digest(crop) for crop in crops]
        known = self._store.crops(self.fingerprint, digests)
        missing = {
            digest: crop for digest, crop in zip(digests, crops, strict=True) if digest not in known
        }
        if missing:
            fresh = dict(zip(missing, self._embedder.crops(list(missing.values())), strict=True))
            self._store.add_crops(self.fingerprint, fresh.items())
            known.update(fresh)
        return np.stack([known[digest] for digest in digests])


def _digest(crop: RgbImage) -> bytes:
    digest = hashlib.sha256(repr(crop.shape).encode())
    digest.update(np.ascontiguousarray(crop).data)
    return digest.digest()[:16]
