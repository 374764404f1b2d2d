"""What random partitions hold and are asked: images with metadata, filters, queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from patchsearch.filter_field import Field
from patchsearch.filters import AllOf, AnyOf, Filter, ImageIdPrefix, Match, Not
from patchsearch.wire.structs import struct_to_proto
from shard_service.store.images import Image, PatchRows
from shard_service.store.meta import Identity
from tests.shard_service.material import FINGERPRINT, clustered, photo, units

# As many numbers as the widest product quantizer has subspaces.
DIM = 128
IDENTITY = Identity("p0", 0, (1 << 64) - 1, FINGERPRINT, "test-encoder", DIM)

_RNG = np.random.default_rng(1)
CENTRES = _RNG.standard_normal((16, DIM))
DIRECTIONS = units(_RNG, 12, DIM)
"""Vectors that many patches have exactly, so that scores tie."""

DAY = datetime(2022, 3, 1, tzinfo=UTC)


def packed(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as images keep it."""
    return struct_to_proto(metadata).SerializeToString(deterministic=True)


def random_photo(
    image_id: str,
    count: int,
    seed: int,
    *,
    version: int = 1,
    metadata: Mapping[str, Any],
    tied: float = 0.4,
) -> tuple[Image, PatchRows]:
    """`count` patches, some of which overlap; a share `tied` has a vector that others have.

    Those of one image have the same: what overlaps looks alike, and dedup has something to do.
    """
    rng = np.random.default_rng(seed)
    corners = rng.permutation(36)[:count]
    sides = rng.integers(40, 260, (count, 2))
    boxes = [
        (int(corner) % 6 * 100, int(corner) // 6 * 100, int(w), int(h))
        for corner, (w, h) in zip(corners, sides, strict=True)
    ]
    vectors = clustered(rng, CENTRES, count)
    vectors[rng.random(count) < tied] = DIRECTIONS[rng.integers(0, len(DIRECTIONS))]
    return photo(image_id, boxes, vectors, version=version, metadata=packed(metadata))


def query_vector(seed: int) -> NDArray[np.float32]:
    """A direction that many patches have, or one between them."""
    if seed < len(DIRECTIONS):
        return DIRECTIONS[seed]
    return clustered(np.random.default_rng(seed), CENTRES, 1)[0]


METADATA = st.fixed_dictionaries(
    {},
    optional={
        "weather": st.sampled_from(["snow", "rain", "sun"]),
        "speed": st.sampled_from([-1, 0, 0.5, 30, 100]),
        "tags": st.lists(st.sampled_from(["night", "city", "tunnel"]), max_size=2),
        "camera": st.fixed_dictionaries({"front": st.booleans()}),
        "taken": st.sampled_from(["2022-02-28T23:59:59Z", "2022-03-01T02:00:00+02:00", "no time"]),
    },
)

_CONDITIONS: st.SearchStrategy[Filter] = st.sampled_from(
    [
        Match("weather", ("snow",)),
        Match("weather", ("snow", "rain", 0.5)),
        Match("tags", ("night",)),
        Match("camera.front", (True,)),
        Match("speed", (0.5, 30.0)),
        Field("speed") > 0,
        Field("speed").between(0, 30),
        Field("taken") >= DAY,
        Field("taken") < DAY,
        Field("camera").exists(),
        Field("tags").exists(),
        ImageIdPrefix("bulk/1"),
        ImageIdPrefix("cam"),
        Match("weather", ("hail",)),
    ]
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    _CONDITIONS,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=4,
)
