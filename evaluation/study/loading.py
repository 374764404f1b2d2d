"""From a folder in COCO's format to a data set, with everything wrong in it counted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.scenes import TARGET_CLASSES
from evaluation.study.model import StudyDataset, StudyObject, StudyPhoto
from evaluation.study.photo_files import PhotoRefused, find_photo, read_header
from evaluation.study.problems import Problems
from patch_selection.selectors import REFERENCE_SHORT_SIDE
from patchsearch.errors import InvalidArgument, NotFound
from patchsearch.geometry import Box

ANNOTATIONS = "annotations.json"

MIN_AREA = 3000.0
"""Pixels of the smallest counted object in a photo of 3848 x 2168 (thesis section 4.1.1)."""

_CLIP_TOLERANCE = 1.0
"""Pixels by which a box may reach out of its photo unremarked: annotators round."""


def smallest_counted_area(width: int, height: int) -> float:
    """Pixels of the smallest object that figures speak of in a photo of this size."""
    return MIN_AREA * (min(width, height) / REFERENCE_SHORT_SIDE) ** 2


@dataclass(frozen=True)
class _Draft:
    """The annotations as they were found, entries that are no use left out."""

    photos: dict[int | str, str]
    """Photo id -> file name."""
    sizes: dict[str, tuple[Any, Any]]
    categories: dict[int | str, str]
    boxes: dict[str, list[tuple[str, tuple[float, float, float, float], bool]]]
    """File name -> category, x y w h, crowd."""


def load_dataset(
    place: Path,
    *,
    limit: int | None = None,
    on_photo: Callable[[int, int], None] = lambda done, total: None,
) -> StudyDataset:
    """Reads `annotations.json` of a folder (or that file itself) and looks at every photo of it.

    Photos lie below `images/` or below the folder itself. `limit` takes that many photos, spread
    evenly over the annotations' order. What is wrong is counted and left out (`problems.KINDS`).
    Where there are all the categories of generated scenes, their target classes become groups.
    `on_photo` is told photos looked at and their number.

    Raises NotFound (DATASET_MISSING) where there is no such file, and InvalidArgument:
    ANNOTATIONS_INVALID for what is no COCO object annotation file, DATASET_EMPTY where no photo of
    it can be used.
    """
    path = place if place.is_file() else place / ANNOTATIONS
    problems = Problems()
    draft = _draft(_document(path), path, problems)
    names = list(draft.sizes)
    if limit is not None and limit < len(names):
        names = [names[i * len(names) // limit] for i in range(limit)]
    photos = []
    for done, name in enumerate(names, start=1):
        photo = _photo(path.parent, name, draft, problems)
        if photo is not None:
            photos.append(photo)
        on_photo(done, len(names))
    if not photos:
        raise InvalidArgument(
            "DATASET_EMPTY",
            f"{path} lists {len(draft.sizes)} photos, none of which can be used"
            f" ({_told(problems)}); the files belong into {path.parent / 'images'}",
        )
    categories = tuple(dict.fromkeys(draft.categories.values()))
    return StudyDataset(
        name=path.resolve().parent.name,
        photos=tuple(photos),
        categories=categories,
        problems=problems.as_counts(),
        groups=_groups(categories),
        examples=problems.examples(),
    )


def without_photos(dataset: StudyDataset, refused: Mapping[int, str]) -> StudyDataset:
    """The data set less the photos of these indices, each counted as a problem of its kind."""
    if not refused:
        return dataset
    problems = Problems()
    for index in sorted(refused):
        problems.add(refused[index], dataset.photos[index].name)
    counts, examples = dict(dataset.problems), dict(dataset.examples)
    for kind, count in problems.as_counts().items():
        counts[kind] = counts.get(kind, 0) + count
        examples[kind] = (examples.get(kind, ()) + problems.examples()[kind])[:5]
    kept = [photo for i, photo in enumerate(dataset.photos) if i not in refused]
    if not kept:
        raise InvalidArgument(
            "DATASET_EMPTY", f"none of the {len(dataset.photos)} photos can be decoded"
        )
    return replace(dataset, photos=tuple(kept), problems=counts, examples=examples)


def dataset_digest(dataset: StudyDataset) -> str:
    """32 hex digits over photos and objects: what figures of a data set depend on."""
    digest = hashlib.sha256()
    for photo in dataset.photos:
        objects = [(o.category, o.box.x, o.box.y, o.box.w, o.box.h) for o in photo.objects]
        digest.update(json.dumps([photo.name, photo.digest, objects]).encode())
    return digest.hexdigest()[:32]


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(
            "DATASET_MISSING",
            f"cannot read {path} ({error.strerror}); a data set is a folder with {ANNOTATIONS} in"
            " COCO's format and the photos in images/",
        ) from error
    except ValueError as error:
        raise _no_coco(path, "it is not UTF-8") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_coco(path, f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _no_coco(path, f"it holds a {type(document).__name__}, not an object")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise _no_coco(path, f"it has no list {key!r}")
    return document


def _no_coco(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(
        "ANNOTATIONS_INVALID",
        f"{path} is not a COCO object annotation file: {why}; it needs the lists images,"
        " annotations (with bbox) and categories",
    )


def _draft(document: dict[str, Any], path: Path, problems: Problems) -> _Draft:
    draft = _Draft({}, {}, {}, {})
    for position, entry in enumerate(document["categories"]):
        key, name = _key(entry, "id"), entry.get("name") if isinstance(entry, dict) else None
        if key is None or not isinstance(name, str) or not name:
            problems.add("category_invalid", f"categories[{position}]")
        elif key in draft.categories:
            problems.add("category_repeated", name)
        else:
            draft.categories[key] = name
    for position, entry in enumerate(document["images"]):
        key, name = _key(entry, "id"), entry.get("file_name") if isinstance(entry, dict) else None
        if key is None or not isinstance(name, str) or not name:
            problems.add("photo_entry_invalid", f"images[{position}]")
        elif key in draft.photos:
            problems.add("photo_id_repeated", name)
        else:
            draft.photos[key] = name
            if name in draft.sizes:
                problems.add("photo_listed_twice", name)
            draft.sizes.setdefault(name, (entry.get("width"), entry.get("height")))
    if document["images"] and not draft.photos:
        raise _no_coco(path, "no entry of images has an id and a file_name")
    for position, entry in enumerate(document["annotations"]):
        _add_object(draft, entry, f"annotations[{position}]", problems)
    return draft


def _add_object(draft: _Draft, entry: Any, place: str, problems: Problems) -> None:
    bbox = _bbox(entry)
    if bbox is None:
        problems.add("object_entry_invalid", place)
        return
    photo, category = _key(entry, "image_id"), _key(entry, "category_id")
    if photo is None or photo not in draft.photos:
        problems.add("object_of_unknown_photo", f"{place}: image_id {entry.get('image_id')!r}")
        return
    if category is None or category not in draft.categories:
        problems.add(
            "object_of_unknown_category", f"{place}: category_id {entry.get('category_id')!r}"
        )
        return
    named = draft.boxes.setdefault(draft.photos[photo], [])
    named.append((draft.categories[category], bbox, bool(entry.get("iscrowd"))))


def _key(entry: Any, key: str) -> int | str | None:
    """The id under this key; None where the entry is no object or the id no number or text."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _bbox(entry: Any) -> tuple[float, float, float, float] | None:
    """x, y, w, h; None where they are not four finite numbers."""
    values = entry.get("bbox") if isinstance(entry, dict) else None
    if not isinstance(values, list) or len(values) != 4:
        return None
    try:
        x, y, w, h = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y, w, h) if all(map(math.isfinite, (x, y, w, h))) else None


def _photo(folder: Path, name: str, draft: _Draft, problems: Problems) -> StudyPhoto | None:
    try:
        path = find_photo(folder, name)
        header = read_header(path)
    except PhotoRefused as refused:
        problems.add(refused.kind, name)
        return None
    width, height = header.width, header.height
    told = draft.sizes[name]
    if any(size is not None for size in told) and told != (width, height):
        problems.add("photo_size_differs", f"{name} is {width}x{height}, not {told[0]}x{told[1]}")
    objects = []
    for category, bbox, crowd in draft.boxes.get(name, ()):
        box = _box(bbox, width, height, f"{category} in {name}", problems)
        if box is not None:
            large = box.area >= smallest_counted_area(width, height)
            objects.append(StudyObject(category, box, counted=large and not crowd))
    return StudyPhoto(name, path, width, height, tuple(objects), header.digest)


def _box(
    bbox: tuple[float, float, float, float], width: int, height: int, what: str, problems: Problems
) -> Box | None:
    """The box in whole pixels, clipped to the photo; None where nothing is left of it."""
    x, y, w, h = bbox
    if w <= 0 or h <= 0:
        problems.add("box_empty", what)
        return None
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + w, float(width)), min(y + h, float(height))
    if right <= left or bottom <= top:
        problems.add("box_outside_photo", what)
        return None
    box = Box(round(left), round(top), round(right) - round(left), round(bottom) - round(top))
    if box.area <= 0:
        problems.add("box_empty", what)
        return None
    if max(left - x, top - y, x + w - right, y + h - bottom) > _CLIP_TOLERANCE:
        problems.add("box_clipped", what)
    return box


def _groups(categories: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    wanted = {category for members in TARGET_CLASSES.values() for category in members}
    return dict(TARGET_CLASSES) if wanted <= set(categories) else {}


def _told(problems: Problems) -> str:
    counts: Iterable[tuple[str, int]] = problems.as_counts().items()
    return ", ".join(f"{kind}: {count}" for kind, count in counts) or "no problems were found"
