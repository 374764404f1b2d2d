"""Photos listed in a pandas frame, without importing pandas."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from patchsearch.errors import InvalidArgument
from patchsearch.photos import Photo, PhotoLike

_PIXELS = ("pixels", "path", "uri")
_Photos = TypeVar("_Photos", bound="Iterable[PhotoLike] | AsyncIterable[PhotoLike]")


@runtime_checkable
class PhotoFrame(Protocol):
    """A pandas frame of one row a photo.

    Its pixels are in the column `pixels` (anything that a photo can be: a path, bytes, an array, a
    PIL image), else `path`, else `uri` (a path). `image_id` and `selector` are as in `Photo`;
    without `image_id`, a path's id is the path as written and other photos are named after their
    content. Every other column is metadata; cells without a value are left out.
    """

    columns: Any

    def itertuples(self, index: bool = ..., name: str | None = ...) -> Iterable[tuple[Any, ...]]:
        """The rows."""
        ...


def rows_as_photos(photos: _Photos | PhotoFrame) -> _Photos | Iterator[PhotoLike]:
    """The photos of a frame; anything else as it is.

    Raises InvalidArgument FRAME_INVALID for a frame that names no pixels.
    """
    if not isinstance(photos, PhotoFrame):
        return photos
    names = [str(column) for column in photos.columns]
    pixels = next((name for name in _PIXELS if name in names), None)
    if pixels is None:
        raise InvalidArgument(
            "FRAME_INVALID",
            f"the frame's columns are {', '.join(names)}; one must be named pixels, path or uri",
        )
    return _photos(photos, names, pixels)


def _photos(frame: PhotoFrame, names: list[str], pixels: str) -> Iterator[Photo]:
    for values in frame.itertuples(index=False, name=None):
        row = {
            name: value for name, value in zip(names, values, strict=True) if not _missing(value)
        }
        content = row.pop(pixels, None)
        if content is None:
            raise InvalidArgument(
                "FRAME_INVALID", f"a row has nothing in {pixels!r}; drop it, or name its photo"
            )
        is_path = isinstance(content, str | os.PathLike)
        image_id = row.pop("image_id", os.fspath(content) if is_path else None)
        yield Photo(
            image_id=None if image_id is None else str(image_id).replace(os.sep, "/"),
            pixels=content,
            uri=str(row.pop("uri", "")),
            selector=str(row.pop("selector", "")),
            metadata={name: _plain(value) for name, value in row.items()},
        )


def _missing(value: Any) -> bool:
    # NaN and NaT differ from themselves; pandas' NA will not say, so it goes by its name.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _plain(value: Any) -> Any:
    """A cell as JSON can hold it: numbers of numpy as Python's, times in ISO 8601."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else value
