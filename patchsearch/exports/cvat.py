"""CVAT for images 1.1 (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import SetItem, Verdict, by_image, checked, labels_of
from patchsearch.exports.streams import Source, Target, opened_source, opened_target
from patchsearch.geometry import Box

_ATTRIBUTES = (
    ("score", "number", "-1;1;0.000001"),
    ("verdict", "text", ""),
    ("uri", "text", ""),
)
# XML 1.0 has no way to write these, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DOCTYPE = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)


def write_cvat(items: Iterable[SetItem], target: Target, *, name: str = "") -> None:
    """Writes the set as one XML file to upload to a CVAT task that holds the same photos.

    An image's `name` is its id, by which CVAT finds the photo in the task. Boxes are `xtl ytl xbr
    ybr` in pixels, right and bottom edges exclusive, with the attributes `score`, `verdict` and
    `uri`; metadata has no place in the format. Characters that XML cannot hold become U+FFFD.

    Raises InvalidArgument BOX_OUTSIDE_IMAGE, LABEL_EMPTY or FILE_UNWRITABLE.
    """
    found = checked(items)
    groups = by_image(found)
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    _add_meta(root, name, labels_of(found), len(groups))
    for number, group in enumerate(groups.values()):
        first = group[0]
        image = ET.SubElement(
            root,
            "image",
            id=str(number),
            name=_text(first.image_id),
            width=str(first.width),
            height=str(first.height),
        )
        for item in group:
            _add_box(image, item)
    ET.indent(root)
    with opened_target(target) as stream:
        stream.write(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def read_cvat(source: Source) -> list[SetItem]:
    """Reads boxes back, image by image, rounded to whole pixels; other shapes are passed over.

    A file with a document type is refused, because entities could make it huge. Raises
    InvalidArgument FILE_UNREADABLE or EXPORT_INVALID.
    """
    with opened_source(source) as stream:
        content = stream.read()
    try:
        if _DOCTYPE.search(content):
            raise ValueError("it has a document type")
        root = ET.fromstring(content)
        if root.tag != "annotations":
            raise ValueError(f"its root is <{root.tag}>")
        return [_item(image, box) for image in root.iter("image") for box in image.iter("box")]
    except (ET.ParseError, ValueError, KeyError) as error:
        raise InvalidArgument(
            "EXPORT_INVALID", f"this is no CVAT file: {error}; export the task as CVAT for images"
        ) from error


def _add_meta(root: ET.Element, name: str, labels: Sequence[str], images: int) -> None:
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    ET.SubElement(task, "name").text = _text(name)
    ET.SubElement(task, "size").text = str(images)
    ET.SubElement(task, "mode").text = "annotation"
    all_labels = ET.SubElement(task, "labels")
    for label in labels:
        element = ET.SubElement(all_labels, "label")
        ET.SubElement(element, "name").text = _text(label)
        ET.SubElement(element, "type").text = "rectangle"
        attributes = ET.SubElement(element, "attributes")
        for attribute_name, kind, values in _ATTRIBUTES:
            attribute = ET.SubElement(attributes, "attribute")
            ET.SubElement(attribute, "name").text = attribute_name
            ET.SubElement(attribute, "mutable").text = "False"
            ET.SubElement(attribute, "input_type").text = kind
            ET.SubElement(attribute, "default_value").text = ""
            ET.SubElement(attribute, "values").text = values


def _add_box(image: ET.Element, item: SetItem) -> None:
    box = ET.SubElement(
        image,
        "box",
        label=_text(item.label),
        source="manual",
        occluded="0",
        xtl=f"{item.box.x:.2f}",
        ytl=f"{item.box.y:.2f}",
        xbr=f"{item.box.right:.2f}",
        ybr=f"{item.box.bottom:.2f}",
        z_order="0",
    )
    score = "" if item.score is None else repr(item.score)
    for name, value in (("score", score), ("verdict", item.verdict.value), ("uri", item.uri)):
        if value:
            ET.SubElement(box, "attribute", name=name).text = _text(value)


def _item(image: ET.Element, box: ET.Element) -> SetItem:
    left, top, right, bottom = (
        round(float(box.attrib[edge])) for edge in ("xtl", "ytl", "xbr", "ybr")
    )
    told = {attribute.attrib["name"]: attribute.text or "" for attribute in box.iter("attribute")}
    return SetItem(
        image_id=image.attrib["name"],
        uri=told.get("uri", ""),
        width=int(image.attrib["width"]),
        height=int(image.attrib["height"]),
        box=Box(left, top, right - left, bottom - top),
        score=float(told["score"]) if told.get("score") else None,
        label=box.attrib["label"],
        verdict=Verdict(told.get("verdict", "")),
    )


def _text(value: str) -> str:
    return _NOT_XML.sub("�", value)
