"""Scenes as a folder of photos with COCO annotations."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2

from evaluation.scenes.compose import generate_scene
from evaluation.scenes.model import CATEGORIES
from evaluation.scenes.styles import HELDOUT_STYLES

JPEG_QUALITY = 92


def write_scenes(
    folder: Path,
    count: int,
    seed: int,
    styles: Sequence[int] = HELDOUT_STYLES,
    *,
    workers: int | None = None,
    on_scene: Callable[[int], None] | None = None,
) -> Path:
    """Writes `images/scene-00000.jpg` and on, then `annotations.json`; returns the latter's path.

    Scene i has seed `seed * 1_000_000 + i` and the styles in turn; the result does not depend on
    `workers` (default: the cores). `on_scene` is called here with each finished scene's number.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    records: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context) as pool:
        jobs = {
            pool.submit(_write_one, images, i, seed * 1_000_000 + i, styles[i % len(styles)]): i
            for i in range(count)
        }
        for job in as_completed(jobs):
            records[jobs[job]] = job.result()
            if on_scene is not None:
                on_scene(jobs[job])
    annotations: list[dict[str, Any]] = []
    for i in range(count):
        for entry in records[i][1]:
            annotations.append({"id": len(annotations) + 1, **entry})
    document = {
        "info": {"description": f"generated street scenes, seed {seed}"},
        "images": [records[i][0] for i in range(count)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CATEGORIES)],
    }
    path = folder / "annotations.json"
    temporary = folder / "annotations.json.part"
    temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def _write_one(
    images: Path, number: int, seed: int, style: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    cv2.setNumThreads(1)
    scene = generate_scene(seed, style)
    name = f"scene-{number:05d}.jpg"
    encoded = cv2.imencode(
        ".jpg",
        cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
    )[1]
    (images / name).write_bytes(encoded.tobytes())
    height, width = scene.pixels.shape[:2]
    image = {
        "id": number + 1,
        "file_name": name,
        "width": width,
        "height": height,
        **scene.attributes,
    }
    entries = [
        {
            "image_id": number + 1,
            "category_id": CATEGORIES.index(thing.category) + 1,
            "bbox": [thing.box.x, thing.box.y, thing.box.w, thing.box.h],
            "area": thing.box.area,
            "iscrowd": 0,
            "visible": round(thing.visible, 4),
            "attributes": dict(thing.attributes),
        }
        for thing in scene.objects
    ]
    return image, entries
