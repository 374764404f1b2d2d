"""Reads the photos that hits point to, and only from where it was told that photos are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from patchsearch.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied

ReadPhoto: TypeAlias = Callable[[str], bytes]
"""Gives the encoded bytes of the photo at a uri."""

_LARGEST_MB = 256


class PhotoReader:
    """Reads photos by their uri, below certain places alone. Thread-safe.

    `places` are folders of this machine and prefixes of other stores that fsspec opens, such as
    `s3://bucket/drives/`. Links are followed before the place is looked at, so that a link inside a
    folder leads nowhere else. A relative uri is taken from the working directory. A file of more
    than `largest_mb` is refused, and so is a chained address (`zip://a.jpg::s3://bucket/b.zip`): a
    link of it may lead anywhere, whatever it begins with. Raises InvalidArgument URI_CHAINED for a
    place that is one.
    """

    def __init__(
        self, places: Sequence[str | os.PathLike[str]], *, largest_mb: int = _LARGEST_MB
    ) -> None:
        self._largest = largest_mb * 1024 * 1024
        self._folders: list[Path] = []
        self._prefixes: list[str] = []
        for place in places:
            text = os.fspath(place)
            _refuse_chained(text)
            if _is_remote(text):
                self._prefixes.append(text if text.endswith("/") else f"{text}/")
            else:
                self._folders.append(_local_path(text).resolve())

    def __call__(self, uri: str) -> bytes:
        """The photo's bytes, not decoded.

        Raises PermissionDenied PHOTO_NOT_ALLOWED for a uri below none of the places, NotFound
        PHOTO_MISSING, InvalidArgument URI_CHAINED, FILE_UNREADABLE or IMAGE_TOO_LARGE, and
        FailedPrecondition EXTRA_MISSING where fsspec or the package of a store is not installed.
        """
        _refuse_chained(uri)
        return self._remote(uri) if _is_remote(uri) else self._local(uri)

    def allows(self, uri: str) -> bool:
        """Whether a uri is below one of the places, there or not."""
        if is_chained(uri):
            return False
        if _is_remote(uri):
            return self._is_below_prefix(uri)
        try:
            path = _local_path(uri).resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return any(path.is_relative_to(folder) for folder in self._folders)

    def _local(self, uri: str) -> bytes:
        if not uri or not self.allows(uri):
            raise _not_allowed(uri)
        path = _local_path(uri).resolve()
        try:
            if not path.is_file():
                raise NotFound("PHOTO_MISSING", f"{uri!r} is not there any more; ingest it anew")
            if path.stat().st_size > self._largest:
                raise self._too_large(uri)
            return path.read_bytes()
        except OSError as error:
            raise InvalidArgument(
                "FILE_UNREADABLE", f"cannot read {uri!r}: {error.strerror}; check its rights"
            ) from error

    def _remote(self, uri: str) -> bytes:
        if not self._is_below_prefix(uri):
            raise _not_allowed(uri)
        try:
            import fsspec

            with fsspec.open(uri, "rb") as stream:
                content: bytes = stream.read(self._largest + 1)
        except ImportError as error:
            raise FailedPrecondition(
                "EXTRA_MISSING", f"reading {uri!r} needs {error.name or error}: pip install it"
            ) from error
        except FileNotFoundError as error:
            raise NotFound("PHOTO_MISSING", f"{uri!r} is not there; ingest it anew") from error
        # Every store has errors of its own, which share no class.
        except Exception as error:
            raise InvalidArgument(
                "FILE_UNREADABLE", f"cannot read {uri!r}: {error}; check the store and its rights"
            ) from error
        if len(content) > self._largest:
            raise self._too_large(uri)
        return content

    def _is_below_prefix(self, uri: str) -> bool:
        # `..` and its escaped forms mean different things to different stores.
        if ".." in unquote(unquote(uri)).split("/"):
            return False
        return any(uri.startswith(prefix) for prefix in self._prefixes)

    def _too_large(self, uri: str) -> InvalidArgument:
        limit = self._largest // (1024 * 1024)
        return InvalidArgument("IMAGE_TOO_LARGE", f"{uri!r} is larger than {limit} MiB")


def _is_remote(uri: str) -> bool:
    scheme, found, _ = uri.partition("://")
    return bool(found) and scheme != "file" and scheme.replace("+", "").isalnum()


def is_chained(uri: str) -> bool:
    """Whether a uri opens one address inside another, which fsspec writes `zip://a::s3://b`."""
    # Without "://" it is a file's name, and fsspec never sees it.
    return "::" in uri and "://" in uri and not uri.startswith("file://")


def _refuse_chained(uri: str) -> None:
    if is_chained(uri):
        raise InvalidArgument(
            "URI_CHAINED",
            f"{uri!r} opens one address inside another; only plain addresses are read: copy the "
            "photos out, and name where they are then",
        )


def _local_path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)


def _not_allowed(uri: str) -> PermissionDenied:
    return PermissionDenied(
        "PHOTO_NOT_ALLOWED", f"{uri!r} is in none of the places that may be read; add its folder"
    )
