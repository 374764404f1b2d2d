"""The formats by name, for menus and command lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from patchsearch.errors import InvalidArgument
from patchsearch.exports.coco import write_coco
from patchsearch.exports.crops import write_crops
from patchsearch.exports.csv_table import write_csv
from patchsearch.exports.cvat import write_cvat
from patchsearch.exports.items import SetItem
from patchsearch.exports.label_studio import write_label_studio
from patchsearch.exports.streams import Target
from patchsearch.exports.yolo import write_yolo
from patchsearch.photo_reader import ReadPhoto

OnProgress = Callable[[int, int], None]
"""Told (done, in all); the formats that read photos call it."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to write. `read_photo` is for formats that hold pixels; `name` is the set's."""

    items: Sequence[SetItem]
    name: str = ""
    read_photo: ReadPhoto | None = None
    on_progress: OnProgress | None = None


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One file format.

    `write(request, target)` writes it whole and gives warnings: one line for each item that could
    not be exported as it should. `needs_photos` says that it cannot do without `read_photo`,
    `can_hold_photos` that it puts the photos in the file when it has one.
    """

    name: str
    title: str
    suffix: str
    media_type: str
    write: Callable[[ExportRequest, Target], list[str]]
    needs_photos: bool = False
    can_hold_photos: bool = False


def format_named(name: str) -> ExportFormat:
    """The format of this name; raises InvalidArgument EXPORT_FORMAT_UNKNOWN."""
    found = FORMATS.get(name)
    if found is None:
        raise InvalidArgument(
            "EXPORT_FORMAT_UNKNOWN",
            f"there is no format {name!r}; choose one of {', '.join(FORMATS)}",
        )
    return found


def _coco(request: ExportRequest, target: Target) -> list[str]:
    write_coco(request.items, target, name=request.name)
    return []


def _csv(request: ExportRequest, target: Target) -> list[str]:
    write_csv(request.items, target)
    return []


def _yolo(request: ExportRequest, target: Target) -> list[str]:
    write_yolo(
        request.items, target, read_photo=request.read_photo, on_progress=request.on_progress
    )
    return []


def _label_studio(request: ExportRequest, target: Target) -> list[str]:
    write_label_studio(request.items, target)
    return []


def _cvat(request: ExportRequest, target: Target) -> list[str]:
    write_cvat(request.items, target, name=request.name)
    return []


def _crops(request: ExportRequest, target: Target) -> list[str]:
    if request.read_photo is None:
        raise InvalidArgument(
            "PHOTOS_NEEDED", "crops need the photos; say in which folders they may be read"
        )
    failed = write_crops(request.items, target, request.read_photo, on_progress=request.on_progress)
    return [f"no crop of {item.image_id!r}: {error}" for item, error in failed]


FORMATS: Mapping[str, ExportFormat] = {
    found.name: found
    for found in (
        ExportFormat("coco", "COCO JSON", ".json", "application/json", _coco),
        ExportFormat("csv", "CSV", ".csv", "text/csv; charset=utf-8", _csv),
        ExportFormat("yolo", "YOLO (zip)", ".zip", "application/zip", _yolo, can_hold_photos=True),
        ExportFormat(
            "label-studio", "Label Studio tasks", ".json", "application/json", _label_studio
        ),
        ExportFormat("cvat", "CVAT for images 1.1", ".xml", "application/xml", _cvat),
        ExportFormat(
            "crops",
            "Crops (zip)",
            ".zip",
            "application/zip",
            _crops,
            needs_photos=True,
            can_hold_photos=True,
        ),
    )
}
"""Every format that is a file; a FiftyOne data set is made by `fiftyone_dataset.to_fiftyone`."""
