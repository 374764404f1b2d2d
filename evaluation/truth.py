"""What the photos of a COCO-format data set show, and where: what answers are judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.relevance import captures
from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box


@dataclass(frozen=True)
class LabelledObject:
    """One annotated object of a photo."""

    category: str
    box: Box
    visible: float
    """Share of its pixels that nothing hides, 0..1; 1 where the data set does not say."""


@dataclass(frozen=True)
class GroundTruth:
    """The objects of each photo, by file name."""

    folder: Path
    """Where the photos are."""
    objects: Mapping[str, Sequence[LabelledObject]] = field(default_factory=dict)

    def shows(self, image_id: str, patch: Box, categories: Sequence[str]) -> bool:
        """Whether the patch captures an object of one of the categories (`relevance.captures`)."""
        return any(
            thing.category in categories and captures(patch, thing.box)
            for thing in self.objects.get(image_id, ())
        )

    def of(self, categories: Sequence[str]) -> Iterator[tuple[str, LabelledObject]]:
        """Every object of the categories with its photo's file name, in the data set's order."""
        for name, things in self.objects.items():
            for thing in things:
                if thing.category in categories:
                    yield name, thing


def read_coco(annotations: Path) -> GroundTruth:
    """Reads `annotations.json` with the photos in `images/` beside it.

    Boxes are rounded to whole pixels; crowd annotations are left out.

    Raises InvalidArgument (ANNOTATIONS_INVALID) when it is not COCO's object format.
    """
    try:
        data = json.loads(annotations.read_text(encoding="utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in data["images"]}
        categories = {category["id"]: str(category["name"]) for category in data["categories"]}
        objects: dict[str, list[LabelledObject]] = {name: [] for name in names.values()}
        for entry in data["annotations"]:
            if entry.get("iscrowd"):
                continue
            x, y, w, h = (round(value) for value in entry["bbox"])
            objects[names[entry["image_id"]]].append(
                LabelledObject(
                    categories[entry["category_id"]],
                    Box(x, y, w, h),
                    float(entry.get("visible", 1.0)),
                )
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            "ANNOTATIONS_INVALID",
            f"{annotations} is not a COCO object annotation file ({error!r}); it needs images,"
            " annotations with bbox, and categories",
        ) from error
    return GroundTruth(annotations.parent / "images", objects)
