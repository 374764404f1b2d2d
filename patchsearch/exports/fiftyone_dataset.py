"""FiftyOne data sets (https://docs.voxel51.com); fiftyone is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from patchsearch.errors import FailedPrecondition
from patchsearch.exports.items import SetItem, Verdict, by_image, checked
from patchsearch.geometry import Box

if TYPE_CHECKING:
    import fiftyone

FIELD = "patches"
"""The field of a sample that holds its boxes, as Detections."""


def fiftyone_samples(items: Iterable[SetItem]) -> list[fiftyone.Sample]:
    """One sample an image; boxes are shares of the image, as FiftyOne keeps them.

    Samples have `image_id`, `uri`, `photo_metadata` and their size; detections have `confidence`
    (the score) and `verdict`. Whole pixels come back exactly when they are rounded
    (`from_fiftyone`).

    Raises InvalidArgument BOX_OUTSIDE_IMAGE or LABEL_EMPTY, FailedPrecondition EXTRA_MISSING.
    """
    found = checked(items)
    fo = _fiftyone()
    samples = []
    for group in by_image(found).values():
        first = group[0]
        sample = fo.Sample(filepath=_path(first.uri or first.image_id))
        sample["image_id"] = first.image_id
        sample["uri"] = first.uri
        sample["photo_metadata"] = dict(first.metadata)
        sample["metadata"] = fo.ImageMetadata(width=first.width, height=first.height)
        sample[FIELD] = fo.Detections(
            detections=[
                fo.Detection(
                    label=item.label,
                    bounding_box=[
                        item.box.x / item.width,
                        item.box.y / item.height,
                        item.box.w / item.width,
                        item.box.h / item.height,
                    ],
                    confidence=item.score,
                    verdict=item.verdict.value,
                )
                for item in group
            ]
        )
        samples.append(sample)
    return samples


def to_fiftyone(items: Iterable[SetItem], *, name: str | None = None) -> fiftyone.Dataset:
    """A data set of `fiftyone_samples`. `name` must be free; None lets FiftyOne choose.

    Raises as `fiftyone_samples`, and FailedPrecondition FIFTYONE_UNAVAILABLE where FiftyOne cannot
    make a data set, as without its database.
    """
    samples = fiftyone_samples(items)
    fo = _fiftyone()
    try:
        dataset = fo.Dataset(name)
        dataset.add_samples(samples, progress=False)
    # Its errors for a database that is not there share no class of their own.
    except Exception as error:
        raise FailedPrecondition(
            "FIFTYONE_UNAVAILABLE", f"FiftyOne cannot make the data set: {error}"
        ) from error
    return dataset


def from_fiftyone(samples: Iterable[Any]) -> list[SetItem]:
    """The items of a data set made by `to_fiftyone`, of a view of it, or of samples."""
    return [
        _item(sample, detection, sample["metadata"].width, sample["metadata"].height)
        for sample in samples
        for detection in sample[FIELD].detections
    ]


def _fiftyone() -> Any:
    try:
        import fiftyone
    except ImportError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", "FiftyOne is not installed: pip install 'patchsearch[fiftyone]'"
        ) from error
    return fiftyone


def _item(sample: Any, detection: Any, width: int, height: int) -> SetItem:
    x, y, w, h = detection.bounding_box
    return SetItem(
        image_id=sample["image_id"],
        uri=sample["uri"] or "",
        width=width,
        height=height,
        box=Box(round(x * width), round(y * height), round(w * width), round(h * height)),
        score=detection.confidence,
        label=detection.label,
        verdict=Verdict(detection["verdict"] or ""),
        metadata=dict(sample["photo_metadata"] or {}),
    )


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
