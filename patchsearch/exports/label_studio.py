"""Label Studio tasks (https://labelstud.io/guide/predictions, https://labelstud.io/guide/task_format).

Label Studio keeps rectangles as percentages of the image. They are written with all digits of a
float, so that whole pixels come back exactly when they are rounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import SetItem, Verdict, by_image, checked
from patchsearch.exports.streams import Source, Target, opened_source, opened_target
from patchsearch.geometry import Box

FROM_NAME, TO_NAME = "label", "image"
"""Names of the control and the object in the labelling configuration."""
_MODEL = "patchsearch"


def label_studio_url(item: SetItem) -> str:
    """Where Label Studio finds the photo: web addresses and buckets as they are.

    Files of this machine through its local storage (`/data/local-files/?d=PATH`), for which the
    server needs LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED and a root that holds them.
    """
    parts = urlsplit(item.uri)
    if parts.scheme and parts.scheme != "file" and "://" in item.uri:
        return item.uri
    path = unquote(parts.path) if parts.scheme == "file" else item.uri
    return f"/data/local-files/?d={quote(path.lstrip('/'))}"


def label_studio_tasks(
    items: Iterable[SetItem],
    *,
    as_annotations: bool = False,
    url_of: Callable[[SetItem], str] = label_studio_url,
) -> list[dict[str, Any]]:
    """One task an image, with its patches as rectangles to start from.

    They are `predictions`, which annotators accept or correct; with `as_annotations` they count as
    finished. `data` holds `image` (its URL), `image_id`, `uri` and `metadata`. Scores below 0 are
    0, as Label Studio wants them; a rectangle's `meta` has the cosine and the verdict. Raises
    InvalidArgument BOX_OUTSIDE_IMAGE or LABEL_EMPTY.
    """
    tasks = []
    for number, group in enumerate(by_image(checked(items)).values(), 1):
        first = group[0]
        results = [_rectangle(item, f"p{number}-{place}") for place, item in enumerate(group, 1)]
        scores = [item.score for item in group if item.score is not None]
        found: dict[str, Any] = {"result": results}
        if not as_annotations:
            found["model_version"] = _MODEL
            if scores:
                found["score"] = _confidence(max(scores))
        tasks.append(
            {
                "id": number,
                "data": {
                    "image": url_of(first),
                    "image_id": first.image_id,
                    "uri": first.uri,
                    "metadata": dict(first.metadata),
                },
                "annotations" if as_annotations else "predictions": [found],
            }
        )
    return tasks


def label_config(labels: Sequence[str]) -> str:
    """The labelling configuration (XML) of a project that takes the tasks."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name=TO_NAME, value="$image", zoom="true")
    rectangles = ET.SubElement(view, "RectangleLabels", name=FROM_NAME, toName=TO_NAME)
    for label in labels:
        ET.SubElement(rectangles, "Label", value=label)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode")


def write_label_studio(
    items: Iterable[SetItem],
    target: Target,
    *,
    as_annotations: bool = False,
    url_of: Callable[[SetItem], str] = label_studio_url,
) -> None:
    """Writes the tasks as one JSON file; raises as `label_studio_tasks`, and FILE_UNWRITABLE."""
    tasks = label_studio_tasks(items, as_annotations=as_annotations, url_of=url_of)
    with opened_target(target) as stream:
        stream.write(json.dumps(tasks, ensure_ascii=False, indent=1).encode("utf-8"))


def read_label_studio(source: Source) -> list[SetItem]:
    """Reads rectangles back from tasks or from Label Studio's JSON export.

    Annotations where a task has them, else predictions; turned rectangles and other shapes are
    passed over. Raises InvalidArgument FILE_UNREADABLE or EXPORT_INVALID.
    """
    try:
        with opened_source(source) as stream:
            tasks = json.load(stream)
        if not isinstance(tasks, list):
            raise TypeError("tasks must be a list")
        return [
            _item(task["data"], result)
            for task in tasks
            for found in task.get("annotations") or task.get("predictions") or ()
            for result in found["result"]
            if result["type"] == "rectanglelabels" and not result["value"].get("rotation")
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InvalidArgument(
            "EXPORT_INVALID",
            f"these are no Label Studio tasks: {error!r}; export the project as JSON",
        ) from error


def _rectangle(item: SetItem, identity: str) -> dict[str, Any]:
    box = item.box
    rectangle: dict[str, Any] = {
        "id": identity,
        "type": "rectanglelabels",
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "original_width": item.width,
        "original_height": item.height,
        "image_rotation": 0,
        "value": {
            "x": 100 * box.x / item.width,
            "y": 100 * box.y / item.height,
            "width": 100 * box.w / item.width,
            "height": 100 * box.h / item.height,
            "rotation": 0,
            "rectanglelabels": [item.label],
        },
    }
    meta = {}
    if item.score is not None:
        rectangle["score"] = _confidence(item.score)
        meta["cosine"] = [repr(item.score)]
    if item.verdict is not Verdict.UNJUDGED:
        meta["verdict"] = [item.verdict.value]
    return {**rectangle, "meta": meta} if meta else rectangle


def _confidence(score: float) -> float:
    # Label Studio takes scores of 0 to 1 alone; a cosine may be below.
    return min(max(score, 0.0), 1.0)


def _item(data: dict[str, Any], result: dict[str, Any]) -> SetItem:
    width, height = int(result["original_width"]), int(result["original_height"])
    value = result["value"]
    meta = result.get("meta") or {}
    score = (meta.get("cosine") or [result.get("score")])[0]
    verdicts = meta.get("verdict") or [""]
    return SetItem(
        image_id=data.get("image_id") or data["image"],
        uri=data.get("uri", ""),
        width=width,
        height=height,
        box=Box(
            round(value["x"] * width / 100),
            round(value["y"] * height / 100),
            round(value["width"] * width / 100),
            round(value["height"] * height / 100),
        ),
        score=None if score is None else float(score),
        label=value["rectanglelabels"][0],
        verdict=Verdict(verdicts[0]),
        metadata=data.get("metadata") or {},
    )
