"""What a partition stores: images with their patches, as frozen dataclasses over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class PatchRows:
    """The patches of one image, or of several, column by column; n may be 0.

    `boxes` (n, 4) int32 x, y, w, h in pixels of the upright image; `levels` (n,) uint16 from 1;
    `scores` (n,) float32, the selection scores; `vectors` (n, dim) unit rows, float16 once stored.
    """

    boxes: NDArray[np.int32]
    levels: NDArray[np.uint16]
    scores: NDArray[np.float32]
    vectors: NDArray[np.floating[Any]]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, eq=False, slots=True)
class Image:
    """An image without its patches.

    `image_id` is the caller's string as UTF-8, 1 to 511 bytes. `version` is a hybrid logical clock
    (milliseconds << 16 | counter << 8 | router). `metadata` is opaque here: what the servicer
    serialised.
    """

    image_id: bytes
    version: int
    uri: str = ""
    width: int = 0
    height: int = 0
    metadata: bytes = b""
    digest: bytes = b""
    selection: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class PutImage:
    """The write of an image, whole, with its patches and their records as they will lie in LMDB.

    With `mends` it replaces what is stored of the same version, too: that is damaged.
    """

    image: Image
    patches: PatchRows
    records: Sequence[bytes]
    mends: bool = False


@dataclass(frozen=True, slots=True)
class DeleteImage:
    """The deletion of an image, as of `version`."""

    image_id: bytes
    version: int


@dataclass(frozen=True, slots=True)
class ForgetDeletion:
    """Removes the tombstone of an image, if it is still the one of `version`."""

    image_id: bytes
    version: int


@dataclass(frozen=True, slots=True)
class AdoptCodebook:
    """Notes the codebook that later segments are built with."""

    codebook_id: str


@dataclass(frozen=True, slots=True)
class RebuildFilters:
    """Makes the filter index anew from the image records."""


Operation = PutImage | DeleteImage | ForgetDeletion | AdoptCodebook | RebuildFilters


@dataclass(frozen=True, slots=True)
class RecordState:
    """What a store says of an image: the version of the last write, and whether it deleted it."""

    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation did.

    `applied`: whether anything was written. `first_sequence`: of the new patches, of a put that
    was applied. `displaced`: (first sequence, patch count) of the live image that was replaced or
    deleted. `before` and `after`: what the store said of the image, None where it had no record of
    it, or a damaged one (`mended`); unset for operations that concern no image.
    """

    applied: bool
    first_sequence: int = 0
    displaced: tuple[int, int] | None = None
    before: RecordState | None = None
    after: RecordState | None = None
    mended: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class StoredImage:
    """An image as it is stored: its patches have the sequence numbers
    `first_sequence` .. `first_sequence + patch_count - 1`."""

    image: Image
    first_sequence: int
    patch_count: int
    patches: PatchRows | None = None


def empty_patches(dim: int) -> PatchRows:
    """No patches at all."""
    return PatchRows(
        boxes=np.empty((0, 4), np.int32),
        levels=np.empty(0, np.uint16),
        scores=np.empty(0, np.float32),
        vectors=np.empty((0, dim), np.float16),
    )
