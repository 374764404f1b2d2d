"""What the writers write: everything about an image follows from its id and version."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np

from shard_service.options import PartitionOptions
from shard_service.store.images import Image, PatchRows
from tests.chaos.partition.facts import facts_of, packed
from tests.shard_service.material import DIM, photo, units

WRITERS = 4
_OWN_IDS = 40
_SHARED_IDS = 30
_SIDE = 100
# Few enough that one search with k = 1000 lists every live patch.
_MOST_PATCHES = 7


def own_ids(writer: int) -> list[str]:
    """Ids that only this writer uses: it knows what it must read back."""
    return [f"w{writer}/{number:02}" for number in range(_OWN_IDS)]


def shared_ids() -> list[str]:
    """Ids that all writers fight over: only the versions say who wins."""
    return [f"shared/{number:02}" for number in range(_SHARED_IDS)]


def photo_of(image_id: str, version: int) -> tuple[Image, PatchRows]:
    """The image that is written under this id and version; some have no patches."""
    rng = np.random.default_rng([zlib.crc32(image_id.encode()), version])
    count = int(rng.integers(0, _MOST_PATCHES + 1))
    # Side by side in a random order, so that a box tells its image and version apart.
    columns = rng.permutation(30)[:count]
    boxes = [(int(column) * _SIDE, version % 900, _SIDE, _SIDE) for column in columns]
    return photo(
        image_id,
        boxes,
        units(rng, count, DIM),
        version=version,
        size=(4000, 2000),
        metadata=packed(facts_of(image_id, version)),
    )


def options(*, sealing: bool, **changes: Any) -> PartitionOptions:
    """Options of a partition that builds all the time, or only when it is told to."""
    known = {field.name for field in dataclasses.fields(PartitionOptions)}
    unknown = set(changes) - known
    if unknown:
        raise LookupError(f"PartitionOptions has no {', '.join(sorted(unknown))}")
    seal_patches = 150 if sealing else 10**9
    return PartitionOptions(
        seal_patches=seal_patches, min_train_patches=300, map_bytes=1 << 20, **changes
    )
