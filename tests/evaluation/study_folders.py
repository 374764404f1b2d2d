"""Small data sets in COCO's format for the tests of studies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.scenes import CATEGORIES, generate_scene

BROKEN, GREY, BLACK, PANORAMA, TINY = (
    "broken.jpg",
    "grey.png",
    "black.png",
    "odd/panorama.jpg",
    "odd/tiny.png",
)


def put_scenes(folder: Path, count: int, width: int = 640, height: int = 360) -> Path:
    """A folder of scenes with everything in them annotated; returns the folder."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        scene = generate_scene(number, 1000 + number, width, height)
        name = f"{number}.jpg"
        Image.fromarray(scene.pixels).save(folder / "images" / name, quality=90)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for thing in scene.objects:
            annotations.append(
                {
                    "image_id": number,
                    "category_id": CATEGORIES.index(thing.category) + 1,
                    "bbox": [thing.box.x, thing.box.y, thing.box.w, thing.box.h],
                }
            )
    write_annotations(folder, images, annotations)
    return folder


def add_odd_photos(folder: Path) -> None:
    """Adds a photo that breaks off, a grey one, a black one, one of 8:1 and one of 40 pixels."""
    images = folder / "images"
    (images / "odd").mkdir()
    whole = (images / "1.jpg").read_bytes()
    (images / BROKEN).write_bytes(whole[: len(whole) // 2])
    first = Image.open(images / "1.jpg")
    first.convert("L").save(images / GREY)
    Image.new("RGB", (320, 240)).save(images / BLACK)
    wide = np.concatenate([np.asarray(first)[:200]] * 3, axis=1)[:, :1600]
    Image.fromarray(wide).save(images / PANORAMA)
    first.resize((40, 40)).save(images / TINY)
    document = json.loads((folder / "annotations.json").read_text())
    for number, name in enumerate((BROKEN, GREY, BLACK, PANORAMA, TINY), start=1001):
        document["images"].append({"id": number, "file_name": name})
    write_annotations(folder, document["images"], document["annotations"])


def write_annotations(
    folder: Path, images: list[dict[str, object]], annotations: list[dict[str, object]]
) -> None:
    """Writes `annotations.json` with the categories of scenes."""
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CATEGORIES)],
    }
    (folder / "annotations.json").write_text(json.dumps(document))
