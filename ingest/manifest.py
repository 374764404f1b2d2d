"""Manifests: photos listed in a CSV or JSON Lines file, with ids and metadata."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ingest.sources import PhotoSource
from patchsearch.errors import InvalidArgument

_COLUMNS = ("image_id", "uri", "selector", "metadata")


class Manifest:
    """A list of photos in a file: CSV with a header, or JSON Lines (`.jsonl`, `.ndjson`).

    Columns: `uri` (required) is a path, relative to the manifest, or a `file://` URI; it is stored
    as written. `image_id` is `uri` where missing. `selector` names the patch selection. Every other
    column becomes metadata: strings from CSV (empty ones are left out), any JSON from JSON Lines,
    where an object `metadata` is merged in too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> int:
        """Reads it all once and gives the number of photos.

        Raises InvalidArgument MANIFEST_INVALID with the line in its message and its metadata, and
        IMAGE_ID_REPEATED.
        """
        lines: dict[str, int] = {}
        for line, source in self._sources():
            first = lines.setdefault(source.image_id, line)
            if first != line:
                raise InvalidArgument(
                    "IMAGE_ID_REPEATED",
                    f"{self.path}:{line}: image_id {source.image_id!r} is on line {first} too; "
                    "every photo needs its own",
                    metadata={"line": str(line)},
                )
        if not lines:
            raise self._invalid(1, "lists no photos")
        return len(lines)

    def __iter__(self) -> Iterator[PhotoSource]:
        """The photos, in the order of the file; raises as `check` does, except for repeated ids."""
        for _, source in self._sources():
            yield source

    def _sources(self) -> Iterator[tuple[int, PhotoSource]]:
        rows = {
            ".csv": self._csv_rows,
            ".jsonl": self._json_rows,
            ".ndjson": self._json_rows,
        }.get(self.path.suffix.lower())
        if rows is None:
            raise InvalidArgument(
                "MANIFEST_INVALID", f"{self.path} must end in .csv, .jsonl or .ndjson"
            )
        try:
            for line, row in rows():
                yield line, self._source(line, row)
        except OSError as error:
            raise InvalidArgument(
                "MANIFEST_INVALID", f"cannot read {self.path}: {(error.strerror or '').lower()}"
            ) from error

    def _csv_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = [name.strip() for name in next(reader, [])]
                if "uri" not in header:
                    raise self._invalid(1, "the header has no column `uri`")
                if len(set(header)) != len(header) or "" in header:
                    raise self._invalid(1, "the header has a column without a name or twice")
                for row in reader:
                    line = reader.line_num
                    if not row:
                        continue
                    if len(row) != len(header):
                        raise self._invalid(
                            line, f"has {len(row)} fields, the header {len(header)} columns"
                        )
                    self._check_utf8(line, ",".join(row))
                    yield line, {k: v for k, v in zip(header, row, strict=True) if v}
            except csv.Error as error:
                raise self._invalid(reader.line_num, f"is no CSV: {error}") from error

    def _json_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                self._check_utf8(line, text)
                try:
                    row = json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise self._invalid(line, f"is no JSON: {error}") from error
                if not isinstance(row, dict):
                    raise self._invalid(line, "is no JSON object")
                yield line, row

    def _source(self, line: int, row: Mapping[str, Any]) -> PhotoSource:
        for name in _COLUMNS[:3]:
            if name in row and not (isinstance(row[name], str) and row[name]):
                raise self._invalid(line, f"`{name}` must be a string that is not empty")
        if "uri" not in row:
            raise self._invalid(line, "has no `uri`")
        metadata = {key: value for key, value in row.items() if key not in _COLUMNS}
        extra = row.get("metadata", {})
        if isinstance(extra, Mapping):
            metadata |= extra
        else:
            # In a CSV file this is a column like any other.
            metadata["metadata"] = extra
        return PhotoSource(
            image_id=row.get("image_id", row["uri"]),
            path=self._path(line, row["uri"]),
            uri=row["uri"],
            metadata=metadata,
            selector=row.get("selector", ""),
            origin=f"{self.path}:{line}",
        )

    def _path(self, line: int, uri: str) -> Path:
        scheme, _, rest = uri.partition("://")
        if rest and scheme.isalnum():
            parts = urlsplit(uri)
            if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
                raise self._invalid(
                    line, f"uri {uri!r} is not on this machine; use a path or file:///path"
                )
            return Path(unquote(parts.path))
        return Path(os.path.abspath(self.path.parent / uri))

    def _check_utf8(self, line: int, text: str) -> None:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self._invalid(line, "is not valid UTF-8; save the file as UTF-8") from error

    def _invalid(self, line: int, what: str) -> InvalidArgument:
        return InvalidArgument(
            "MANIFEST_INVALID", f"{self.path}:{line}: {what}", metadata={"line": str(line)}
        )
