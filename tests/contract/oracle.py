"""What every answer must be: a collection in a dictionary, searched by brute force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter
from patchsearch.geometry import Box
from tests.shard_service.filter_oracle import meets


@dataclass(frozen=True)
class FoundPatch:
    """A hit, as far as oracle and cluster must agree on it."""

    image_id: str
    box: Box
    score: float
    suppressed: tuple[tuple[Box, float], ...] = ()
    """What it stands for: box and score, best first."""


@dataclass(frozen=True)
class StoredPhoto:
    """An image to store: where its patches are, and the (n, d) unit vectors of them."""

    image_id: str
    boxes: tuple[Box, ...]
    vectors: NDArray[np.float32]
    uri: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Oracle:
    """Images by id; nothing clever."""

    def __init__(self) -> None:
        self._photos: dict[str, StoredPhoto] = {}

    def put(self, photo: StoredPhoto) -> None:
        self._photos[photo.image_id] = photo

    def delete(self, image_ids: Sequence[str]) -> list[str]:
        return [i for i in dict.fromkeys(image_ids) if self._photos.pop(i, None) is not None]

    def ids(self, prefix: str = "") -> list[str]:
        return sorted((i for i in self._photos if i.startswith(prefix)), key=str.encode)

    def boxes(self, image_id: str) -> list[Box] | None:
        photo = self._photos.get(image_id)
        return None if photo is None else sorted(photo.boxes)

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        threshold: float | None = None,
        keep_overlapping: bool = False,
        filter: Filter | None = None,
    ) -> list[FoundPatch]:
        """`query` is (d,) float32 of unit length; vectors count as they are stored, in float16."""
        ranked = sorted(
            (
                FoundPatch(photo.image_id, box, _score(query, row))
                for photo in self._photos.values()
                if filter is None or meets(filter, photo.image_id, dict(photo.metadata))
                for box, row in zip(photo.boxes, photo.vectors, strict=True)
            ),
            key=lambda hit: (-hit.score, hit.image_id.encode(), hit.box),
        )
        reaching = [hit for hit in ranked if threshold is None or hit.score >= threshold]
        if keep_overlapping:
            return reaching[:k]
        kept: list[tuple[FoundPatch, list[tuple[Box, float]]]] = []
        for hit in reaching:
            for better, suppressed in kept:
                if better.image_id == hit.image_id and better.box.intersection(hit.box):
                    suppressed.append((hit.box, hit.score))
                    break
            else:
                kept.append((hit, []))
        return [replace(hit, suppressed=tuple(suppressed)) for hit, suppressed in kept[:k]]


def _score(query: NDArray[np.float32], row: NDArray[np.float32]) -> float:
    stored = row.astype(np.float16).astype(np.float64)
    return float(np.float32(np.dot(stored, query.astype(np.float64))))
