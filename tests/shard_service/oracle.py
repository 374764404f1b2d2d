"""What a partition must answer: a dictionary, and the definitions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.struct_pb2 import Struct
from numpy.typing import NDArray

from patchsearch.filters import Filter
from patchsearch.geometry import Box
from patchsearch.wire.structs import struct_from_proto
from shard_service.answers import PartitionAnswer
from shard_service.search.query import PartitionQuery
from shard_service.store.images import Image, PatchRows
from tests.shard_service.filter_oracle import meets

Found = tuple[str, Box, float, tuple[tuple[Box, float], ...]]


def found(answer: PartitionAnswer) -> list[Found]:
    return [
        (
            hit.image.image_id.decode(),
            Box(*hit.box),
            hit.score,
            tuple((Box(*box), score) for box, score in hit.suppressed),
        )
        for hit in answer.hits
    ]


@dataclass
class Oracle:
    """What a partition should answer, from a dictionary and the definitions alone."""

    images: dict[str, tuple[int, list[Box], NDArray[np.float16]] | tuple[int, None, None]] = field(
        default_factory=dict
    )
    metadata: dict[str, bytes] = field(default_factory=dict)

    def put(self, *writes: tuple[Image, PatchRows]) -> list[bool]:
        applied = []
        for image, patches in writes:
            key = image.image_id.decode()
            applied.append(key not in self.images or self.images[key][0] < image.version)
            if applied[-1]:
                boxes = [Box(*box) for box in patches.boxes.tolist()]
                self.images[key] = (image.version, boxes, patches.vectors.astype(np.float16))
                self.metadata[key] = image.metadata
        return applied

    def delete(self, image_ids: Sequence[str], version: int) -> list[bool]:
        deleted = []
        for key in image_ids:
            stored = self.images.get(key)
            deleted.append(stored is not None and stored[0] < version and stored[1] is not None)
            if stored is None or stored[0] < version:
                self.images[key] = (version, None, None)
        return deleted

    @property
    def patches(self) -> int:
        return sum(len(boxes) for _, boxes, _ in self.images.values() if boxes is not None)

    def search(self, query: PartitionQuery) -> list[Found]:
        rows: list[tuple[float, bytes, Box]] = []
        wide = query.vector.astype(np.float64)
        for key, (_, boxes, vectors) in self.images.items():
            if boxes is None or vectors is None:
                continue
            if query.filter is not None and not self._meets(query.filter, key):
                continue
            scores = (vectors.astype(np.float64) * wide).sum(axis=1).astype(np.float32)
            for box, score in zip(boxes, scores.tolist(), strict=True):
                if query.score_threshold is None or score >= query.score_threshold:
                    rows.append((-score, key.encode(), box))
        rows.sort()
        kept: list[tuple[float, bytes, Box, list[tuple[Box, float]]]] = []
        of_image: dict[bytes, list[tuple[Box, list[tuple[Box, float]]]]] = {}
        for negative, key_bytes, box in rows:
            better = of_image.setdefault(key_bytes, [])
            for other, suppressed in [] if query.keep_overlapping else better:
                if other.intersection(box) > 0:
                    suppressed.append((box, -negative))
                    break
            else:
                better.append((box, []))
                kept.append((-negative, key_bytes, box, better[-1][1]))
        return [
            (key_bytes.decode(), box, score, tuple(suppressed))
            for score, key_bytes, box, suppressed in kept[: query.k]
        ]

    def _meets(self, filter: Filter, key: str) -> bool:
        return meets(filter, key, struct_from_proto(Struct.FromString(self.metadata[key])))
