"""The images of found rows: those found lately from memory, the others from the store."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from patchsearch.errors import DataLoss
from shard_service.answers import PartitionHit
from shard_service.search.ranked_candidates import RankedRow
from shard_service.store.images import Image
from shard_service.store.patch_store import PatchStore

_MAX_BYTES = 8 << 20
_OBJECT_BYTES = 400


class HitImages:
    """Turns ranked rows into hits. Thread-safe.

    An image with patches never changes under its first sequence: written anew, it gets another
    one. So what was read once holds for every snapshot in which that sequence is alive, and is kept
    in up to 8 MiB of memory, the oldest given up first.
    """

    def __init__(self, store: PatchStore) -> None:
        self._store = store
        self._changing = threading.Lock()
        self._known: dict[int, Image] = {}
        self._bytes = 0

    def hits(self, rows: Sequence[RankedRow]) -> tuple[tuple[PartitionHit, ...], bool]:
        """The hits of `rows`, and whether there is one for every row.

        An image that was replaced since the rows were found may be missing; images whose records
        are damaged are left out and not missed.
        """
        known = self._known
        found = [known.get(row.first_sequence) for row in rows]
        left_out = 0
        if None in found:
            images, damaged = self._read(
                [row for row, image in zip(rows, found, strict=True) if image is None]
            )
            found = [
                image or images.get(row.first_sequence)
                for row, image in zip(rows, found, strict=True)
            ]
            left_out = sum(row.image_id in damaged for row in rows)
        hits = tuple(
            PartitionHit(image, row.box, row.level, row.score, row.suppressed)
            for image, row in zip(found, rows, strict=True)
            if image is not None
        )
        return hits, len(hits) + left_out == len(rows)

    def _read(self, rows: Sequence[RankedRow]) -> tuple[dict[int, Image], set[bytes]]:
        """The images that still have their sequences, by those, and the ids of damaged ones."""
        wanted = {row.first_sequence: row.image_id for row in rows}
        losses: list[DataLoss] = []
        stored = self._store.read_images(list(wanted.values()), on_damage=losses.append)
        images = {
            sequence: image.image
            for sequence, image in zip(wanted, stored, strict=True)
            # Written anew, it has new sequences.
            if image is not None and image.first_sequence == sequence
        }
        self._keep(images)
        return images, {loss.metadata.get("image_id", "").encode("utf-8") for loss in losses}

    def _keep(self, images: dict[int, Image]) -> None:
        with self._changing:
            for sequence, image in images.items():
                if sequence not in self._known:
                    self._known[sequence] = image
                    self._bytes += _size(image)
            while self._bytes > _MAX_BYTES:
                oldest = next(iter(self._known))
                self._bytes -= _size(self._known.pop(oldest))


def _size(image: Image) -> int:
    texts = (image.image_id, image.uri, image.metadata, image.digest, image.selection)
    return _OBJECT_BYTES + sum(map(len, texts))
