"""Photos on their way in: as callers hand them over, and as they are sent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchsearch.pixels import Pixels, encoded_pixels


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photo to store.

    `image_id` is 1 to 511 bytes of UTF-8; None names the photo `sha256-<digest in hex>` after its
    content. `uri` says where the pixels are, for those who show hits;
    where empty, the absolute path if `pixels` is a path. `metadata` is a JSON object of at most
    64 KiB. `selector` names the patch selection; the server's default where empty.
    """

    image_id: str | None
    pixels: Pixels
    uri: str = ""
    metadata: Mapping[str, Any] | None = None
    selector: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPhoto:
    """A photo that was read and digested: `digest` is SHA-256 of `content`."""

    image_id: str
    content: bytes
    digest: bytes
    uri: str
    metadata: Mapping[str, Any]
    selector: str


PhotoLike: TypeAlias = (
    Photo
    | PreparedPhoto
    | str
    | os.PathLike[str]
    | bytes
    | NDArray[Any]
    | Image.Image
    | tuple[str, Pixels]
    | tuple[str, Pixels, Mapping[str, Any]]
)
"""What `Client.ingest` takes: photos, `(id, pixels)` or `(id, pixels, metadata)`, or bare pictures.

A path's id is the path as written, with forward slashes; other bare pictures are named after their
content.
"""


def as_photo(value: PhotoLike) -> Photo | PreparedPhoto:
    """The photo that a value stands for; raises TypeError for a value that stands for none."""
    match value:
        case Photo() | PreparedPhoto():
            return value
        case (str() as image_id, pixels):
            return Photo(image_id, pixels)
        case (str() as image_id, pixels, metadata):
            return Photo(image_id, pixels, metadata=metadata)
        case str() | os.PathLike():
            return Photo(Path(value).as_posix(), value)
        case bytes() | np.ndarray() | Image.Image():
            return Photo(None, value)
        case _:
            raise TypeError(
                f"{type(value).__name__} is no photo; use a path, (id, pixels), "
                "(id, pixels, metadata), a picture, or Photo"
            )


def name_of(photo: Photo | PreparedPhoto) -> str:
    """What to call a photo in a result, readable even where the id cannot be sent as UTF-8."""
    return (photo.image_id or "").encode("utf-8", "replace").decode("utf-8")


def prepare(photo: Photo | PreparedPhoto) -> PreparedPhoto:
    """Reads and digests a photo; may block on the disk. Thread-safe.

    Raises InvalidArgument FILE_UNREADABLE or PIXELS_INVALID.
    """
    if isinstance(photo, PreparedPhoto):
        return photo
    content = encoded_pixels(photo.pixels)
    digest = hashlib.sha256(content).digest()
    uri = photo.uri
    if not uri and isinstance(photo.pixels, str | os.PathLike):
        uri = os.path.abspath(photo.pixels)
    return PreparedPhoto(
        image_id=f"sha256-{digest.hex()}" if photo.image_id is None else photo.image_id,
        content=content,
        digest=digest,
        uri=uri,
        metadata=photo.metadata or {},
        selector=photo.selector,
    )
