"""Checks on what callers hand in; pure functions, each raising a typed error with the remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from patchsearch.errors import InvalidArgument
from shard_service.store.images import Image, PatchRows
from shard_service.store.stored_images import MAX_KEY_BYTES

MAX_PATCHES = 4096
MAX_BATCH = 1000
MAX_FURTHER = 63
MAX_K = 1000
MAX_METADATA_BYTES = 256 * 1024
MAX_TEXT_BYTES = 8192
MAX_DIGEST_BYTES = 64
MAX_LEVEL = 65535
MAX_OVERSAMPLE = 100
# float16 rounding moves the length of a unit vector by less than 0.001.
_LENGTH_TOLERANCE = 0.01
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]{2,64}\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}")
_PARTITION_ID = re.compile(r"[a-z0-9-]{1,64}")


def image_key(image_id: str) -> bytes:
    """The LMDB key of an image: its id as UTF-8.

    Raises InvalidArgument IMAGE_ID_INVALID for an id that is empty, over 511 bytes, or no text.
    """
    try:
        key = image_id.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            "IMAGE_ID_INVALID", f"image_id {image_id!a} holds lone surrogates; send valid Unicode"
        ) from error
    check_key(key)
    return key


def check_key(key: bytes) -> None:
    """Raises InvalidArgument IMAGE_ID_INVALID for a key that LMDB cannot hold."""
    if not 1 <= len(key) <= MAX_KEY_BYTES:
        raise InvalidArgument(
            "IMAGE_ID_INVALID",
            f"image_id is {len(key)} bytes of UTF-8; it must be 1 to {MAX_KEY_BYTES}",
        )


def check_partition_id(partition_id: str) -> None:
    """Raises InvalidArgument PARTITION_INVALID for a malformed id: it becomes a file name."""
    if _PARTITION_ID.fullmatch(partition_id) is None:
        raise InvalidArgument(
            "PARTITION_INVALID", f"partition id {partition_id[:80]!r} must match [a-z0-9-]{{1,64}}"
        )


def check_source(address: str) -> None:
    """Raises InvalidArgument SOURCE_INVALID unless `address` is host:port."""
    if _ADDRESS.fullmatch(address) is None:
        raise InvalidArgument(
            "SOURCE_INVALID", f"{address[:300]!r} is no address of a shard; give host:port"
        )


def check_partition(partition_id: str, hash_start: int, hash_end: int) -> None:
    """Raises InvalidArgument PARTITION_INVALID for a malformed id or an empty hash range."""
    check_partition_id(partition_id)
    if not 0 <= hash_start <= hash_end < 1 << 64:
        raise InvalidArgument(
            "PARTITION_INVALID",
            f"partition {partition_id} would hold hashes {hash_start:016x} to {hash_end:016x}; "
            "the start must not be behind the end",
        )


def check_placed(key: bytes, partition_id: str, hash_start: int, hash_end: int) -> None:
    """Raises InvalidArgument HASH_OUT_OF_RANGE for an image of another partition."""
    digest = xxhash.xxh64_intdigest(key)
    if not hash_start <= digest <= hash_end:
        raise InvalidArgument(
            "HASH_OUT_OF_RANGE",
            f"image {key.decode('utf-8', 'replace')!r} hashes to {digest:016x}; partition "
            f"{partition_id} holds {hash_start:016x} to {hash_end:016x}: reload the placement",
        )


def check_batch(count: int, what: str) -> None:
    """Raises InvalidArgument BATCH_OUT_OF_RANGE unless 1 to 1000 things were sent."""
    if not 1 <= count <= MAX_BATCH:
        raise InvalidArgument(
            "BATCH_OUT_OF_RANGE", f"{count} {what} were sent; send 1 to {MAX_BATCH} in a call"
        )


def check_further(count: int) -> None:
    """Raises InvalidArgument BATCH_OUT_OF_RANGE when over 63 further queries came in a call."""
    if count > MAX_FURTHER:
        raise InvalidArgument(
            "BATCH_OUT_OF_RANGE",
            f"{count} further queries were sent; send {MAX_FURTHER} at most, and the rest in "
            "another call",
        )


def check_k(k: int) -> None:
    """Raises InvalidArgument K_OUT_OF_RANGE unless 1 <= k <= 1000."""
    if not 1 <= k <= MAX_K:
        raise InvalidArgument("K_OUT_OF_RANGE", f"k is {k}; ask for 1 to {MAX_K} hits")


def check_query(vector: NDArray[np.floating[Any]], dim: int) -> None:
    """Checks (d,): d == dim, finite, unit length; raises InvalidArgument VECTOR_INVALID."""
    if (
        vector.ndim != 1
        or len(vector) != dim
        or not (abs(float(np.vecdot(vector, vector)) ** 0.5 - 1.0) <= _LENGTH_TOLERANCE)
    ):
        # Slower, and with words.
        check_vectors(vector.reshape(1, -1), dim, "query vector")


def check_vectors(vectors: NDArray[np.floating[Any]], dim: int, what: str) -> None:
    """Checks (n, d) rows: d == dim, finite, unit length; raises InvalidArgument VECTOR_INVALID."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise InvalidArgument(
            "VECTOR_INVALID", f"{what} has {vectors.shape[-1]} numbers; the encoder makes {dim}"
        )
    lengths = np.sqrt(np.vecdot(vectors, vectors))
    # Written so that NaN, which compares as false, is refused too.
    good = np.abs(lengths - 1.0) <= _LENGTH_TOLERANCE
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise InvalidArgument(
            "VECTOR_INVALID",
            f"{what} {row} has length {lengths[row]:g}; send unit vectors of finite numbers",
        )


def check_stored_vectors(vectors: NDArray[np.floating[Any]], dim: int, what: str) -> None:
    """Checks (n, d) rows that were stored before: d == dim, finite.

    Their length was checked when they came; rounding may have moved it beyond the tolerance since.
    Raises InvalidArgument VECTOR_INVALID.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all():
        raise InvalidArgument(
            "VECTOR_INVALID", f"{what}s are no finite numbers, {dim} each: the copy is damaged"
        )


def check_image(image: Image) -> None:
    """Raises InvalidArgument IMAGE_ID_INVALID, or PATCHES_INVALID for another field."""
    check_key(image.image_id)
    name = image.image_id.decode("utf-8", "replace")
    limits = (
        ("uri", len(image.uri.encode("utf-8", "replace")), MAX_TEXT_BYTES),
        ("selection", len(image.selection.encode("utf-8", "replace")), MAX_TEXT_BYTES),
        ("digest", len(image.digest), MAX_DIGEST_BYTES),
        ("metadata", len(image.metadata), MAX_METADATA_BYTES),
    )
    for field, size, limit in limits:
        if size > limit:
            raise InvalidArgument(
                "PATCHES_INVALID",
                f"{field} of image {name!r} is {size} bytes; the limit is {limit}",
            )
    if not (1 <= image.width < 1 << 31 and 1 <= image.height < 1 << 31):
        raise InvalidArgument(
            "PATCHES_INVALID",
            f"image {name!r} is {image.width}x{image.height} px; both sides must be at least 1",
        )


def check_patches(image: Image, patches: PatchRows) -> None:
    """Checks the patches of one image; raises InvalidArgument PATCHES_INVALID.

    At most 4096, each inside the image, no box twice, level from 1, finite selection score.
    """
    name = image.image_id.decode("utf-8", "replace")
    count = len(patches)
    if count > MAX_PATCHES:
        raise InvalidArgument(
            "PATCHES_INVALID", f"image {name!r} has {count} patches; the limit is {MAX_PATCHES}"
        )
    if count == 0:
        return
    # int64, because x + w of two int32 may not fit.
    x, y, w, h = patches.boxes.astype(np.int64).T
    inside = (x >= 0) & (y >= 0) & (w >= 1) & (h >= 1)
    inside &= (x + w <= image.width) & (y + h <= image.height)
    if not inside.all():
        box = patches.boxes[np.flatnonzero(~inside)[0]].tolist()
        raise InvalidArgument(
            "PATCHES_INVALID",
            f"box {box} (x, y, w, h) lies outside image {name!r} of "
            f"{image.width}x{image.height} px",
        )
    if len(set(map(tuple, patches.boxes.tolist()))) != count:
        raise InvalidArgument(
            "PATCHES_INVALID", f"image {name!r} has the same box twice; send every box once"
        )
    if (patches.levels < 1).any() or not np.isfinite(patches.scores).all():
        raise InvalidArgument(
            "PATCHES_INVALID",
            f"image {name!r} has a patch of level 0 or without a finite selection score; "
            "levels start at 1",
        )


def check_destination(destination: str, roots: Sequence[str]) -> None:
    """Raises InvalidArgument DESTINATION_INVALID unless `destination` lies below one of `roots`."""
    where = destination if "://" in destination else os.path.normpath(destination)
    steps_up = ".." in destination.split("/")
    absolute = "://" in destination or destination.startswith("/")
    # "::" chains file systems: the last of them need not lie below the root of the first.
    chained = "::" in destination
    below = any(where.startswith(root.rstrip("/") + "/") for root in roots)
    if steps_up or chained or not absolute or not below:
        raise InvalidArgument(
            "DESTINATION_INVALID",
            f"snapshots may not be written to {destination!r}; name an absolute path or a URL "
            f"below one of: {', '.join(roots) or '(none)'}; --snapshot-roots allows more",
        )
