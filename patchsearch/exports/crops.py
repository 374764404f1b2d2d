"""The patches' own pixels, as a zip of pictures."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterable
from typing import Literal

from PIL import Image

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.exports.csv_table import csv_bytes
from patchsearch.exports.items import SetItem, checked
from patchsearch.exports.names import file_names
from patchsearch.exports.streams import Target, opened_target
from patchsearch.photo_reader import ReadPhoto
from patchsearch.thumbnail import opened

OnProgress = Callable[[int, int], None]
"""Told (patches done, patches in all)."""


def write_crops(
    items: Iterable[SetItem],
    target: Target,
    read_photo: ReadPhoto,
    *,
    picture_format: Literal["png", "jpeg"] = "png",
    on_progress: OnProgress | None = None,
) -> list[tuple[SetItem, PatchsearchError]]:
    """Writes a zip of `crops/*`, at full resolution, and `items.csv`; gives what has no picture.

    A crop is named after its number in the set, its photo and its box. `png` loses nothing, `jpeg`
    is smaller. Each photo is read once. A photo that cannot be read, or is not of the size that its
    items say, leaves its items out of the pictures but not of `items.csv`, where `file` is empty.

    Raises InvalidArgument BOX_OUTSIDE_IMAGE, LABEL_EMPTY or FILE_UNWRITABLE.
    """
    found = checked(items)
    names = file_names(found)
    groups: dict[str, list[int]] = {}
    for place, item in enumerate(found):
        groups.setdefault(item.image_id, []).append(place)
    files = [""] * len(found)
    failed: list[tuple[SetItem, PatchsearchError]] = []
    done = 0
    with opened_target(target) as stream, zipfile.ZipFile(stream, "w") as archive:
        for image_id, group in groups.items():
            try:
                photo = _photo(found[group[0]], read_photo)
                for place in group:
                    box = found[place].box
                    crop = photo.crop((box.x, box.y, box.right, box.bottom))
                    name = _crop_name(place, names[image_id], found[place], picture_format)
                    archive.writestr(name, _encoded(crop, picture_format))
                    files[place] = name
            except PatchsearchError as error:
                failed += [(found[place], error) for place in group]
            done += len(group)
            if on_progress is not None:
                on_progress(done, len(found))
        archive.writestr("items.csv", csv_bytes(found, files=files), zipfile.ZIP_DEFLATED)
    return failed


def _photo(item: SetItem, read_photo: ReadPhoto) -> Image.Image:
    try:
        photo = opened(read_photo(item.uri))
    # Pillow raises much more than it says for files that are damaged.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidArgument(
            "IMAGE_UNDECODABLE", f"{item.uri!r} cannot be decoded: {error}; ingest it anew"
        ) from error
    if photo.size != (item.width, item.height):
        raise InvalidArgument(
            "IMAGE_CHANGED",
            f"{item.uri!r} is {photo.width}x{photo.height} px, but was {item.width}x{item.height} "
            "when it was stored; ingest it anew",
        )
    return photo


def _crop_name(place: int, photo: str, item: SetItem, picture_format: str) -> str:
    stem = os.path.splitext(photo)[0].replace("/", "_")
    box = item.box
    suffix = "jpg" if picture_format == "jpeg" else "png"
    return f"crops/{place + 1:05d}_{stem[-100:]}_{box.x}_{box.y}_{box.w}_{box.h}.{suffix}"


def _encoded(crop: Image.Image, picture_format: str) -> bytes:
    buffer = io.BytesIO()
    if picture_format == "jpeg":
        crop.save(buffer, "JPEG", quality=92)
    else:
        crop.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
