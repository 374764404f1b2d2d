"""Opens photos by what the collection knows of them, and only those that may be opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchsearch.errors import InvalidArgument, NotFound, PermissionDenied
from patchsearch.photo_reader import PhotoReader, is_chained


class RootedPhotos:
    """The photos below some roots: local folders, and fsspec addresses (`s3://bucket/drives`).

    A manifest's uris may be relative: they are looked for below each local root. What may be read
    is `patchsearch.photo_reader.PhotoReader`'s business. Thread-safe.
    """

    def __init__(self, roots: Sequence[str], *, largest_mb: int = 128) -> None:
        """Raises InvalidArgument ROOT_MISSING for a local root that is no folder, and URI_CHAINED
        for an address that opens one inside another (`simplecache::s3://bucket/drives`)."""
        self._reader = PhotoReader(roots, largest_mb=largest_mb)
        self._local: list[Path] = []
        for root in roots:
            if "://" in root and not root.startswith("file://"):
                continue
            path = Path(root.removeprefix("file://"))
            if not path.is_dir():
                raise InvalidArgument(
                    "ROOT_MISSING", f"photo root {root} is no folder; name one that is there"
                )
            self._local.append(path.resolve())

    @property
    def local_roots(self) -> Sequence[Path]:
        """The local folders, resolved."""
        return tuple(self._local)

    def read(self, uri: str, image_id: str) -> bytes:
        """The photo's encoded content; an empty uri stands for the image's id as a path.

        Raises PermissionDenied PHOTO_NOT_ALLOWED, NotFound PHOTO_MISSING, InvalidArgument
        URI_CHAINED, and what `PhotoReader` raises; messages do not repeat paths of this machine.
        """
        where = uri or image_id
        if "\x00" in where:
            raise _not_allowed()
        if is_chained(where):
            raise InvalidArgument(
                "URI_CHAINED", "photo's uri opens one address inside another; store a plain one"
            )
        try:
            if "://" in where:
                return self._reader(where)
            return self._reader(str(self.local_path(where)))
        except PermissionDenied as error:
            raise _not_allowed() from error
        except NotFound as error:
            raise _missing() from error

    def allows(self, path: Path) -> bool:
        """Whether a local file or folder lies below a root, links followed."""
        return self._reader.allows(str(path))

    def local_path(self, where: str) -> Path:
        """The path of a file or folder that lies below a local root.

        Raises PermissionDenied PHOTO_NOT_ALLOWED and NotFound PHOTO_MISSING.
        """
        if "\x00" in where:
            raise _not_allowed()
        given = Path(where)
        candidates = [given] if given.is_absolute() else [root / given for root in self._local]
        allowed = [path for path in candidates if self.allows(path)]
        if not allowed:
            raise _not_allowed()
        for path in allowed:
            try:
                found = path.resolve()
                if found.exists():
                    return found
            except OSError:  # a name too long, a folder that may not be entered
                continue
        raise _missing()


def _not_allowed() -> PermissionDenied:
    return PermissionDenied(
        "PHOTO_NOT_ALLOWED", "photo is not below a folder of --photos; add its folder there"
    )


def _missing() -> NotFound:
    return NotFound("PHOTO_MISSING", "photo is not there any more")
