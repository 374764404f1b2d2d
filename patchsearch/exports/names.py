"""File names for images inside folders and archives, whatever their ids hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from patchsearch.exports.items import SetItem

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
# A segment of a path is 255 bytes at most on common file systems; the rest is for numbers.
_LONGEST = 120


def file_names(items: Iterable[SetItem]) -> dict[str, str]:
    """A relative path for each image id, made of ASCII letters, digits and `/ . _ -` alone.

    Folders of the id are kept. No path is absolute or leads upwards, and no two are equal but for
    their suffix or for upper and lower case, so that one label file belongs to one photo. Ids
    without a picture's suffix get that of their uri, else `.jpg`.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for item in items:
        if item.image_id in names:
            continue
        stem, suffix = _parts(item)
        unique, number = stem, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{stem}_{number}"
        taken.add(unique.lower())
        names[item.image_id] = unique + suffix
    return names


def _parts(item: SetItem) -> tuple[str, str]:
    stem, suffix = os.path.splitext(item.image_id)
    if suffix.lower() not in _SUFFIXES:
        stem, suffix = item.image_id, PurePosixPath(urlsplit(item.uri).path).suffix
        if suffix.lower() not in _SUFFIXES:
            suffix = ".jpg"
    segments = [_safe(segment) for segment in stem.split("/") if segment not in ("", ".", "..")]
    return "/".join(segments) or "image", suffix.lower()


def _safe(segment: str) -> str:
    plain = quote(segment, safe="", errors="replace").replace("%", "_").replace("~", "_")
    # A leading dot hides a file; a name too long for a disk keeps its ends, where ids differ.
    plain = "_" + plain[1:] if plain.startswith(".") else plain
    if len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST // 2]}_{plain[-_LONGEST // 2 :]}"
