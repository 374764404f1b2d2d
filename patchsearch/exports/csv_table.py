"""CSV (RFC 4180): one row an item, with a header."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import DEFAULT_LABEL, SetItem, Verdict, checked
from patchsearch.exports.streams import Source, Target, opened_source, opened_target
from patchsearch.geometry import Box

COLUMNS = (
    *("image_id", "uri", "width", "height"),
    *("x", "y", "w", "h", "score", "label", "verdict", "metadata"),
)
"""The header, in its order."""


def row_of(item: SetItem) -> dict[str, Any]:
    """An item as flat values: the box as four numbers, `metadata` as a JSON text."""
    return {
        "image_id": item.image_id,
        "uri": item.uri,
        "width": item.width,
        "height": item.height,
        "x": item.box.x,
        "y": item.box.y,
        "w": item.box.w,
        "h": item.box.h,
        "score": item.score,
        "label": item.label,
        "verdict": item.verdict.value,
        "metadata": json.dumps(dict(item.metadata), ensure_ascii=False),
    }


def item_of_row(row: Mapping[str, Any]) -> SetItem:
    """An item from texts or numbers by column; `image_id` and the box must be there.

    Raises ValueError or KeyError for what is missing or no number.
    """
    score = row.get("score")
    return SetItem(
        image_id=row["image_id"],
        uri=row.get("uri") or "",
        width=int(row.get("width") or 0),
        height=int(row.get("height") or 0),
        box=Box(int(row["x"]), int(row["y"]), int(row["w"]), int(row["h"])),
        score=None if score in (None, "") else float(score),
        label=row.get("label") or DEFAULT_LABEL,
        verdict=Verdict(row.get("verdict") or ""),
        metadata=json.loads(row.get("metadata") or "{}"),
    )


def csv_bytes(items: Sequence[SetItem], *, files: Sequence[str] | None = None) -> bytes:
    """The table as UTF-8, scores with all their digits, so that reading loses nothing.

    With `files`, one for each item, it has a first column `file`.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS if files is None else ("file", *COLUMNS))
    writer.writeheader()
    for number, item in enumerate(items):
        row = row_of(item)
        writer.writerow(row if files is None else {"file": files[number], **row})
    return text.getvalue().encode("utf-8")


def write_csv(items: Iterable[SetItem], target: Target) -> None:
    """Writes the set as one file.

    Raises InvalidArgument BOX_OUTSIDE_IMAGE, LABEL_EMPTY or FILE_UNWRITABLE.
    """
    content = csv_bytes(checked(items))
    with opened_target(target) as stream:
        stream.write(content)


def read_csv(source: Source) -> list[SetItem]:
    """Reads a set back; other columns are passed over.

    Raises InvalidArgument FILE_UNREADABLE, or EXPORT_INVALID with the number of the line.
    """
    with opened_source(source) as stream:
        content = stream.read()
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            "EXPORT_INVALID", f"this is no CSV in UTF-8: {error}; save it as UTF-8"
        ) from error
    try:
        missing = {"image_id", "x", "y", "w", "h"}.difference(reader.fieldnames or ())
        if missing:
            raise InvalidArgument(
                "EXPORT_INVALID",
                f"the table has no columns {', '.join(sorted(missing))}; name them in its header",
            )
        return [item_of_row(row) for row in reader]
    except (ValueError, TypeError, csv.Error) as error:
        raise InvalidArgument(
            "EXPORT_INVALID", f"line {reader.line_num} cannot be read: {error}; correct it"
        ) from error
