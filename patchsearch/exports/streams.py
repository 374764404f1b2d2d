"""Where exports go to and come from: a path, or a binary stream that somebody else opened."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from patchsearch.errors import InvalidArgument

Target: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A file's path, or a stream to write bytes to; the stream need not seek and is left open."""

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A file's path, or a stream to read bytes from; the stream is left open."""


@contextlib.contextmanager
def opened_target(target: Target) -> Iterator[BinaryIO]:
    """The stream to write to. A file appears, or is replaced, only once it is written whole.

    Raises InvalidArgument FILE_UNWRITABLE.
    """
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    path = Path(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    try:
        with open(handle, "wb") as stream:
            yield stream
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


@contextlib.contextmanager
def opened_source(source: Source) -> Iterator[BinaryIO]:
    """The stream to read from; raises InvalidArgument FILE_UNREADABLE."""
    if not isinstance(source, str | os.PathLike):
        yield source
        return
    try:
        stream = open(source, "rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"cannot read {os.fspath(source)}: {reason.lower()}; check the path and its rights",
        ) from error
    with stream:
        yield stream


def _unwritable(path: Path, error: Exception) -> InvalidArgument:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidArgument(
        "FILE_UNWRITABLE",
        f"cannot write {path}: {reason.lower()}; name a file in a folder that can be written to",
    )
