"""Where photos come from: folders, files, patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchsearch.errors import InvalidArgument
from patchsearch.photos import Photo

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""Files in folders with other suffixes (in any case) are passed over."""


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A photo that is still on the disk. `origin` says where it was named, for messages."""

    image_id: str
    path: Path
    uri: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    selector: str = ""
    origin: str = ""

    def photo(self) -> Photo:
        """The photo to send."""
        return Photo(self.image_id, self.path, self.uri, self.metadata, self.selector)


def find_photos(places: Sequence[str | Path], root: Path | None = None) -> Iterator[PhotoSource]:
    """Photos in folders (recursively), files, and patterns such as `drive/**/*.jpg`, each sorted.

    An image id is the path relative to `root`, or, without one, to the folder given, to the part
    of a pattern before its first wildcard, or to a file's folder; with forward slashes. Hidden
    files and folders are passed over, symbolic links to folders are not followed.

    Raises InvalidArgument: PHOTOS_MISSING for a place that is not there or holds no photo,
    PHOTO_OUTSIDE_ROOT, and IMAGE_ID_REPEATED when two photos would get one id; all of them only as
    the iteration reaches them, the first two of a place before its first photo.
    """
    seen: dict[str, Path] | None = {} if len(places) > 1 else None
    for place in places:
        base, paths = _photos_at(place)
        found = False
        for path in paths:
            found = True
            image_id = _relative(path, base if root is None else root)
            if seen is not None and seen.setdefault(image_id, path) != path:
                raise InvalidArgument(
                    "IMAGE_ID_REPEATED",
                    f"{seen[image_id]} and {path} would both be {image_id!r}; "
                    "give --root, a folder that holds both",
                )
            yield PhotoSource(image_id, path, os.path.abspath(path), origin=str(place))
        if not found:
            raise InvalidArgument(
                "PHOTOS_MISSING",
                f"{place} holds no photos; files must end in {', '.join(sorted(PHOTO_SUFFIXES))}",
            )


def _photos_at(place: str | Path) -> tuple[Path, Iterator[Path]]:
    path = Path(place)
    if path.is_dir():
        return path, _photos_below(path)
    if path.exists():
        return path.parent, iter((path,))
    if glob.has_magic(str(place)):
        return _before_wildcards(path), _matches(str(place))
    raise InvalidArgument(
        "PHOTOS_MISSING", f"{place} is not there; name a folder, a file or a pattern"
    )


def _photos_below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PHOTO_SUFFIXES:
                yield Path(where, name)


def _matches(pattern: str) -> Iterator[Path]:
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file():
            yield path


def _before_wildcards(pattern: Path) -> Path:
    parts = pattern.parts
    count = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:count])


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.abspath(path)).relative_to(os.path.abspath(base)).as_posix()
    except ValueError as error:
        raise InvalidArgument(
            "PHOTO_OUTSIDE_ROOT", f"{path} is not below --root {base}; give a folder that holds it"
        ) from error
