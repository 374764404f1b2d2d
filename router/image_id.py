"""What an image may be called."""

from __future__ import annotations

from patchsearch.errors import InvalidArgument

MAX_IMAGE_ID_BYTES = 511
"""LMDB's longest key."""


def check_image_id(image_id: str) -> None:
    """Raises InvalidArgument IMAGE_ID_INVALID unless the id is 1 to 511 bytes of UTF-8.

    Any characters are allowed: slashes, white space, emoji.
    """
    size = len(image_id.encode())
    if not 1 <= size <= MAX_IMAGE_ID_BYTES:
        raise InvalidArgument(
            "IMAGE_ID_INVALID",
            f"image id {abbreviated(image_id)!r} is {size} bytes; "
            f"an id has 1 to {MAX_IMAGE_ID_BYTES} bytes of UTF-8",
        )


def abbreviated(text: str, limit: int = 60) -> str:
    """The text, or its beginning and "..." where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
