"""A set as a file that people and scripts judge in: CSV or JSON Lines."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from patchsearch.errors import InvalidArgument
from patchsearch.exports.csv_table import item_of_row, read_csv, row_of, write_csv
from patchsearch.exports.items import DEFAULT_LABEL, SetItem, checked
from patchsearch.exports.streams import Source, Target, opened_source, opened_target
from patchsearch.geometry import Box

SUFFIXES = (".csv", ".jsonl", ".ndjson")


def write_jsonl(items: Iterable[SetItem], target: Target) -> None:
    """Writes one JSON object a line, with the keys of the CSV table; `metadata` is an object.

    Raises InvalidArgument BOX_OUTSIDE_IMAGE, LABEL_EMPTY or FILE_UNWRITABLE.
    """
    text = io.StringIO()
    for item in checked(items):
        row = {**row_of(item), "metadata": dict(item.metadata)}
        text.write(json.dumps(row, ensure_ascii=False) + "\n")
    with opened_target(target) as stream:
        stream.write(text.getvalue().encode("utf-8"))


def read_jsonl(source: Source) -> list[SetItem]:
    """Reads a set back; other keys are passed over.

    Raises InvalidArgument FILE_UNREADABLE, or EXPORT_INVALID with the number of the line.
    """
    with opened_source(source) as stream:
        lines = stream.read().split(b"\n")
    items = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            items.append(_item(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument(
                "EXPORT_INVALID", f"line {number} is no item of a set: {error!r}; correct it"
            ) from error
    return items


def read_set(path: str | os.PathLike[str]) -> list[SetItem]:
    """Reads a `.csv`, `.jsonl` or `.ndjson` file; raises as `read_csv` and `read_jsonl`.

    Raises also InvalidArgument SET_SUFFIX_UNKNOWN.
    """
    return read_csv(path) if _is_csv(path) else read_jsonl(path)


def write_set(items: Iterable[SetItem], path: str | os.PathLike[str]) -> None:
    """Writes such a file; raises as `write_csv`, and InvalidArgument SET_SUFFIX_UNKNOWN."""
    write = write_csv if _is_csv(path) else write_jsonl
    write(items, path)


def items_of_answer(document: Any, *, label: str = DEFAULT_LABEL) -> list[SetItem]:
    """The hits of an answer that `patchsearch search --json` printed, unjudged.

    Raises InvalidArgument EXPORT_INVALID for another document.
    """
    try:
        return [_item_of_hit(hit, label) for hit in document["hits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            "EXPORT_INVALID", f"this is no answer of `patchsearch search --json`: {error!r}"
        ) from error


def _item(row: Mapping[str, Any]) -> SetItem:
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise TypeError("metadata must be an object")
    return item_of_row({**row, "metadata": json.dumps(metadata)})


def _item_of_hit(hit: Mapping[str, Any], label: str) -> SetItem:
    box = hit["box"]
    return SetItem(
        image_id=hit["image_id"],
        uri=hit["uri"],
        width=hit["image_width"],
        height=hit["image_height"],
        box=Box(box["x"], box["y"], box["w"], box["h"]),
        score=hit["score"],
        label=label,
        metadata=hit["metadata"],
    )


def _is_csv(path: str | os.PathLike[str]) -> bool:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidArgument(
            "SET_SUFFIX_UNKNOWN",
            f"{os.fspath(path)} is no set by its name; end it in {', '.join(SUFFIXES)}",
        )
    return suffix == ".csv"
