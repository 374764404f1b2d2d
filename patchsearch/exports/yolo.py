"""YOLO detection data sets (https://docs.ultralytics.com/datasets/detect/) as a zip or a folder.

Boxes are centre and size as shares of the image, written with nine digits: whole pixels come back
exactly when they are rounded, for images of up to 100 000 px a side.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from patchsearch.errors import InvalidArgument
from patchsearch.exports.csv_table import csv_bytes, read_csv
from patchsearch.exports.items import SetItem, by_image, checked, labels_of
from patchsearch.exports.names import file_names
from patchsearch.exports.streams import Source, Target, opened_source, opened_target
from patchsearch.geometry import Box
from patchsearch.photo_reader import ReadPhoto

OnProgress = Callable[[int, int], None]
"""Told (photos done, photos in all)."""

_README = """\
images/    the photos, where they were asked for; else put each here under its `file` of items.csv
labels/    one text file a photo; a line: class, x centre, y centre, width, height, as shares
items.csv  the same patches in pixels, with image_id, uri, score and verdict
"""


def write_yolo(
    items: Iterable[SetItem],
    target: Target,
    *,
    read_photo: ReadPhoto | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Writes the set as a zip of `data.yaml`, `labels/**.txt`, `items.csv` and a README.

    With `read_photo` the photos are there too, under `images/`, byte for byte; one that cannot be
    read ends the export with its error. Photos are named after their ids (`names.file_names`).

    Raises InvalidArgument BOX_OUTSIDE_IMAGE, LABEL_EMPTY, FILE_UNWRITABLE, and what `read_photo`
    raises.
    """
    files = _files(checked(items), read_photo, on_progress)
    with (
        opened_target(target) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, content in files:
            # Photos are compressed already.
            method = zipfile.ZIP_STORED if name.startswith("images/") else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, method)


def write_yolo_folder(
    items: Iterable[SetItem],
    folder: str | os.PathLike[str],
    *,
    read_photo: ReadPhoto | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Writes what `write_yolo` does into a folder, which must be empty or not be there yet.

    Raises also InvalidArgument FOLDER_NOT_EMPTY.
    """
    place = Path(folder)
    if place.exists() and any(place.iterdir()):
        raise InvalidArgument(
            "FOLDER_NOT_EMPTY", f"{place} holds files already; name a new or an empty folder"
        )
    try:
        for name, content in _files(checked(items), read_photo, on_progress):
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError as error:
        raise InvalidArgument(
            "FILE_UNWRITABLE", f"cannot write into {place}: {error}; name another folder"
        ) from error


def read_yolo(source: Source) -> list[SetItem]:
    """Reads a zip of `write_yolo` back: boxes and classes from the label files.

    What the format has no place for comes from `items.csv`. Raises InvalidArgument FILE_UNREADABLE
    or EXPORT_INVALID.
    """
    try:
        with opened_source(source) as stream, zipfile.ZipFile(stream) as archive:
            items = read_csv(io.BytesIO(archive.read("items.csv")))
            names, classes = file_names(items), labels_of(items)
            found = []
            for image_id, group in by_image(items).items():
                lines = archive.read(_label_file(names[image_id])).decode("ascii").splitlines()
                found += [
                    _item(line, item, classes) for line, item in zip(lines, group, strict=True)
                ]
            return found
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError) as error:
        raise InvalidArgument(
            "EXPORT_INVALID", f"this is no YOLO export of a set: {error}; export it again"
        ) from error


def _files(
    items: list[SetItem], read_photo: ReadPhoto | None, on_progress: OnProgress | None
) -> Iterator[tuple[str, bytes]]:
    names, classes = file_names(items), labels_of(items)
    groups = by_image(items)
    yield "data.yaml", _data_yaml(classes).encode("utf-8")
    yield "README.txt", _README.encode("ascii")
    yield "items.csv", csv_bytes(items, files=[names[item.image_id] for item in items])
    for done, (image_id, group) in enumerate(groups.items(), 1):
        lines = "".join(f"{_line(item, classes)}\n" for item in group)
        yield _label_file(names[image_id]), lines.encode("ascii")
        if read_photo is not None:
            yield f"images/{names[image_id]}", read_photo(group[0].uri)
        if on_progress is not None:
            on_progress(done, len(groups))


def _label_file(photo: str) -> str:
    return f"labels/{os.path.splitext(photo)[0]}.txt"


def _data_yaml(classes: list[str]) -> str:
    # A JSON text is a YAML text too, so that no label can break out of its line.
    lines = [f"  {number}: {json.dumps(label)}" for number, label in enumerate(classes)]
    return "\n".join(("path: .", "train: images", "val: images", "names:", *lines, ""))


def _line(item: SetItem, classes: list[str]) -> str:
    box = item.box
    shares = (
        (box.x + box.w / 2) / item.width,
        (box.y + box.h / 2) / item.height,
        box.w / item.width,
        box.h / item.height,
    )
    return " ".join((str(classes.index(item.label)), *(f"{share:.9f}" for share in shares)))


def _item(line: str, stored: SetItem, classes: list[str]) -> SetItem:
    number, *shares = line.split()
    x, y, w, h = (float(share) for share in shares)
    width, height = w * stored.width, h * stored.height
    return SetItem(
        image_id=stored.image_id,
        uri=stored.uri,
        width=stored.width,
        height=stored.height,
        box=Box(
            round(x * stored.width - width / 2),
            round(y * stored.height - height / 2),
            round(width),
            round(height),
        ),
        score=stored.score,
        label=classes[int(number)],
        verdict=stored.verdict,
        metadata=stored.metadata,
    )
