"""Uploaded pictures, each stored once under the digest of its content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from patchsearch.errors import InvalidArgument, NotFound, ResourceExhausted

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORMATS = ("JPEG", "PNG", "WEBP")


@dataclass(frozen=True, slots=True)
class UploadStore:
    """A folder of pictures by digest. Thread-safe, also between processes."""

    folder: Path
    max_bytes: int
    """Largest picture."""
    max_total_bytes: int
    """Most that all pictures take."""
    max_pixels: int
    _lock: threading.Lock

    def add(self, content: bytes) -> str:
        """Stores a JPEG, PNG or WebP and returns the SHA-256 of its content, in hex.

        Raises InvalidArgument UPLOAD_EMPTY, UPLOAD_TOO_LARGE or UPLOAD_UNDECODABLE, and
        ResourceExhausted UPLOADS_FULL.
        """
        if not content:
            raise InvalidArgument("UPLOAD_EMPTY", "no picture was chosen; choose a file")
        if len(content) > self.max_bytes:
            raise too_large(self.max_bytes)
        picture_size(content, self.max_pixels)
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        with self._lock:
            if path.exists():
                return digest
            path.parent.mkdir(parents=True, exist_ok=True)
            used = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
            if used + len(content) > self.max_total_bytes:
                raise ResourceExhausted(
                    "UPLOADS_FULL",
                    f"uploaded pictures take {used // 2**20} MiB of {self.max_total_bytes // 2**20}"
                    f"; delete old ones in {self.folder}, or raise --uploads-mb",
                )
            handle, temporary = tempfile.mkstemp(dir=path.parent)
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        return digest

    def read(self, digest: str) -> bytes:
        """The picture; raises NotFound UPLOAD_NOT_FOUND."""
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise _missing() from error

    def _path(self, digest: str) -> Path:
        if _DIGEST.fullmatch(digest) is None:
            raise _missing()
        return self.folder / digest[:2] / digest


def open_uploads(
    folder: Path, *, max_bytes: int, max_total_bytes: int, max_pixels: int
) -> UploadStore:
    """The store in a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return UploadStore(folder, max_bytes, max_total_bytes, max_pixels, threading.Lock())


def picture_size(content: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height of a picture as its header tells them, nothing decoded.

    Raises InvalidArgument UPLOAD_UNDECODABLE for what is no JPEG, PNG or WebP, and
    UPLOAD_TOO_LARGE for more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(max_pixels) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidArgument(
            "UPLOAD_UNDECODABLE", "this is no JPEG, PNG or WebP picture; choose one that is"
        ) from error
    if width * height > max_pixels:
        raise _too_many_pixels(max_pixels)
    return width, height


def too_large(max_bytes: int) -> InvalidArgument:
    """The refusal of a picture of too many bytes."""
    return InvalidArgument(
        "UPLOAD_TOO_LARGE",
        f"the upload is over {max_bytes // 2**20} MiB; cut the picture, or raise --upload-mb",
    )


def _too_many_pixels(max_pixels: int) -> InvalidArgument:
    return InvalidArgument(
        "UPLOAD_TOO_LARGE", f"the picture has over {max_pixels:,} pixels; cut it first"
    )


def _missing() -> NotFound:
    return NotFound(
        "UPLOAD_NOT_FOUND", "this picture was not uploaded to this page; upload it again"
    )
