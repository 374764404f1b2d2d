"""Opens what training learns from, by the folder that holds the public data and models."""

from __future__ import annotations

import json
from pathlib import Path

from training.mini.batches import PatchStore
from training.mini.photo_batches import ViewStore
from training.mini.train import Data
from training.mini.words import CONSE, Words, load_conse, load_words


def coco_names(shared: Path) -> tuple[str, ...]:
    """COCO's 80 classes in the order of their ids."""
    listing = shared / "data" / "coco128" / "annotations.json"
    rows = json.loads(listing.read_text(encoding="utf-8"))["categories"]
    return tuple(str(row["name"]) for row in sorted(rows, key=lambda row: row["id"]))


def words(shared: Path) -> Words:
    """All names with CLIP vectors, COCO's 80 first."""
    models = shared / "models"
    return load_words(models / "clip-vitb32-text", models / "mobilenet" / CONSE, coco_names(shared))


def training_data(patches: Path, views: Path, shared: Path, backbone: Path) -> Data:
    """Everything, read or opened. Raises FileNotFoundError for what is missing."""
    conse = load_conse(shared / "models" / "mobilenet" / CONSE)
    return Data(PatchStore(patches), ViewStore(views, conse), words(shared), 80, backbone)
