"""A file of the photos that failed: JSON Lines, written as they fail."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest.sources import PhotoSource
from patchsearch.errors import InvalidArgument
from patchsearch.results import IngestResult


class FailureLog:
    """Appends one object a failed photo: image_id, uri, code, reason, message, origin.

    The file is opened, empty, at once, and each line is flushed. Raises InvalidArgument
    FILE_UNWRITABLE. Not thread-safe.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise InvalidArgument(
                "FILE_UNWRITABLE", f"cannot write {path}: {(error.strerror or '').lower()}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, source: PhotoSource, result: IngestResult) -> None:
        """Writes one failed photo; does nothing for a result without error."""
        if result.error is None:
            return
        line = {
            "image_id": result.image_id,
            "uri": source.uri.encode("utf-8", "replace").decode("utf-8"),
            "code": result.error.code,
            "reason": result.error.reason,
            "message": result.error.message,
            "origin": source.origin,
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
