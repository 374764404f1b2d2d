"""The photos of a data set as files: what can be known without decoding them, and their pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from encoder_service.decoding import FORMATS, ImageLimits, Subject, decode
from evaluation.study.embedding import RgbImage
from patchsearch.errors import InvalidArgument

LIMITS = ImageLimits()
"""What the encoder accepts by default."""

_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


class PhotoRefused(Exception):
    """A photo that cannot take part; `kind` is one of `problems.KINDS`."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """Width and height of the upright photo, and the hex sha256 of the file."""

    width: int
    height: int
    digest: str


def find_photo(folder: Path, name: str) -> Path:
    """The file of this name below `folder/images`, or else below `folder`.

    Raises PhotoRefused: photo_outside_folder, photo_missing.
    """
    if "\0" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise PhotoRefused("photo_outside_folder")
    for path in (folder / "images" / name, folder / name):
        if _is_file(path):
            return path
    raise PhotoRefused("photo_missing")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def read_header(path: Path) -> PhotoHeader:
    """Reads the file and its header; the pixels are not decoded, so they may still be broken.

    Raises PhotoRefused: photo_missing, photo_undecodable, photo_too_large, photo_too_small.
    """
    data = _content(path)
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            sideways = picture.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoRefused("photo_too_large") from error
    except Exception as error:  # Pillow's parsers raise many kinds on damaged input
        raise PhotoRefused("photo_undecodable") from error
    if width * height > LIMITS.max_pixels:
        raise PhotoRefused("photo_too_large")
    if min(width, height) < LIMITS.min_side:
        raise PhotoRefused("photo_too_small")
    if sideways:
        width, height = height, width
    return PhotoHeader(width, height, hashlib.sha256(data).hexdigest())


def read_photo(path: Path) -> RgbImage:
    """The pixels of the upright photo. Raises PhotoRefused as `read_header` does."""
    try:
        return decode(_content(path), Subject.IMAGE, LIMITS)
    except InvalidArgument as error:
        large = error.reason == "IMAGE_TOO_LARGE"
        raise PhotoRefused("photo_too_large" if large else "photo_undecodable") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotoRefused("photo_missing") from error
