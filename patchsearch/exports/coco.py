"""COCO JSON (https://cocodataset.org/#format-data), for object detection."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import SetItem, Verdict, by_image, checked, labels_of
from patchsearch.exports.streams import Source, Target, opened_source, opened_target
from patchsearch.geometry import Box


def coco_document(items: Iterable[SetItem], *, name: str = "") -> dict[str, Any]:
    """The set as COCO's dictionary: `info`, `images`, `annotations`, `categories`.

    Image, annotation and category ids count from 1. `file_name` is the image's id, `coco_url` its
    uri; `bbox` is x, y, w, h in whole pixels; `segmentation` is empty, for a box is all there is.
    Beyond the format, annotations have `score` and `verdict` and images `metadata`; tools pass over
    keys that they do not know. Raises InvalidArgument BOX_OUTSIDE_IMAGE or LABEL_EMPTY.
    """
    found = checked(items)
    category_of = {label: number for number, label in enumerate(labels_of(found), 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, group in enumerate(by_image(found).values(), 1):
        first = group[0]
        images.append(
            {
                "id": number,
                "file_name": first.image_id,
                "coco_url": first.uri,
                "width": first.width,
                "height": first.height,
                "metadata": dict(first.metadata),
            }
        )
        for item in group:
            box = item.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category_of[item.label],
                    "bbox": [box.x, box.y, box.w, box.h],
                    "area": box.area,
                    "iscrowd": 0,
                    "segmentation": [],
                    "verdict": item.verdict.value,
                    **({} if item.score is None else {"score": item.score}),
                }
            )
    return {
        "info": {"description": name},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": label, "supercategory": ""}
            for label, number in category_of.items()
        ],
    }


def write_coco(items: Iterable[SetItem], target: Target, *, name: str = "") -> None:
    """Writes the set as one JSON file; raises as `coco_document`, and FILE_UNWRITABLE."""
    document = coco_document(items, name=name)
    with opened_target(target) as stream:
        stream.write(json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8"))


def read_coco(source: Source) -> list[SetItem]:
    """Reads a set back, image by image; boxes with fractions are rounded to whole pixels.

    Also reads COCO files of other tools, whose items have no score and verdict. Raises
    InvalidArgument FILE_UNREADABLE or EXPORT_INVALID.
    """
    try:
        with opened_source(source) as stream:
            document = json.load(stream)
        names = {category["id"]: category["name"] for category in document["categories"]}
        images = {image["id"]: image for image in document["images"]}
        return [
            _item(annotation, images[annotation["image_id"]], names[annotation["category_id"]])
            for annotation in document["annotations"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(
            "EXPORT_INVALID", f"this is no COCO file: {error!r}; export the set again"
        ) from error


def _item(annotation: dict[str, Any], image: dict[str, Any], label: str) -> SetItem:
    x, y, w, h = (round(side) for side in annotation["bbox"])
    score = annotation.get("score")
    return SetItem(
        image_id=image["file_name"],
        uri=image.get("coco_url", ""),
        width=image["width"],
        height=image["height"],
        box=Box(x, y, w, h),
        score=None if score is None else float(score),
        label=label,
        verdict=Verdict(annotation.get("verdict", "")),
        metadata=image.get("metadata", {}),
    )
