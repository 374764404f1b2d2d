"""Paths that name fields of metadata: "camera.serial\\.no" <-> ("camera", "serial.no")."""

from __future__ import annotations

from collections.abc import Sequence

from patchsearch.errors import InvalidArgument

MAX_PATH_LENGTH = 4096
"""Most characters of a path."""
_SHOWN = 60


def split_path(path: str) -> tuple[str, ...]:
    """The keys that a path names, outermost first; the inverse of `join_path`.

    Dots stand between keys; a dot or a backslash within a key is behind a backslash. Raises
    InvalidArgument FILTER_INVALID for an empty path or key, for a backslash before anything else,
    for more than 4096 characters, and for text that is not Unicode (lone surrogates).
    """
    if len(path) > MAX_PATH_LENGTH:
        raise _malformed(path, f"has {len(path)} characters; the limit is {MAX_PATH_LENGTH}")
    keys: list[str] = []
    key: list[str] = []
    characters = iter(path)
    for character in characters:
        if character == ".":
            keys.append("".join(key))
            key = []
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in (".", "\\"):
                raise _malformed(
                    path,
                    "has a backslash before something else than a dot or a backslash; "
                    "write a backslash within a key twice",
                )
            key.append(escaped)
        else:
            key.append(character)
    keys.append("".join(key))
    if "" in keys:
        what = "has an empty key" if path else "is empty"
        raise _malformed(path, f'{what}; name keys joined by dots, such as "camera.position"')
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed(path, "is not valid Unicode; leave lone surrogates out") from None
    return tuple(keys)


def join_path(keys: Sequence[str]) -> str:
    """The path that names these keys; raises what `split_path` raises."""
    path = ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in keys)
    split_path(path)
    return path


def _malformed(path: str, what: str) -> InvalidArgument:
    # An error travels in a header of a few KiB, a path may be of any length.
    shown = path if len(path) <= _SHOWN else path[: _SHOWN - 3] + "..."
    return InvalidArgument("FILTER_INVALID", f"field path {shown!a} {what}")
