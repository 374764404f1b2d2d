"""What an encoder makes of real photos, beside the teachers.

Texts against the boxes of coco128 and crops against the boxes of gtsdb, each among the photos that
training never saw (`training.mini.holdout`) and among all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchsearch.geometry import Box
from training.mini.measure import Encoder
from training.mini.patches import cut
from training.mini.photos import Crop, object_crops, photos
from training.mini.retrieval import CropFigures, TextFigures, crop_to_crop, text_to_crop
from training.mini.sources import coco_names, words
from training.mini.text import article
from training.mini.views import DISTRIBUTION, EMBEDDING
from training.mini.words import CONSE, load_conse, unit
from training.mobilenet.tflite import SIDE, TfliteNet

COCO_LEAST, SIGN_LEAST = 48, 24
"""Shortest side of a box that is measured, pixels."""

QUERY = "a {}"
"""How a class is asked for: the words of the genuine CLIP vectors."""

Vectors = NDArray[np.float32]
Look = Callable[[Sequence[Crop]], Vectors]


def text_rows(looks: Mapping[str, tuple[Look, Vectors]], shared: Path) -> list[str]:
    """A Markdown table: texts against coco128's boxes. `looks`: for each encoder, how it sees crops
    and its vectors of the 80 classes."""
    names = coco_names(shared)
    crops = list(object_crops(photos(shared / "data" / "coco128"), COCO_LEAST))
    labels = np.array([names.index(c.name) for c in crops])
    unseen = np.array([c.photo.held_out for c in crops])
    lines = [
        "| text -> crop, coco128 | photos | mAP | P@1 | P@5 | zero-shot | chance "
        "| classes | crops |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (look, texts) in looks.items():
        vectors = look(crops)
        for part, keep in (("held out", unseen), ("all", np.ones_like(unseen))):
            f = text_to_crop(texts, vectors[keep], labels[keep])
            lines.append(f"| {name} | {part} | {_text(f)} |")
    return lines


def sign_rows(looks: Mapping[str, Look], shared: Path) -> list[str]:
    """A Markdown table: crops against gtsdb's signs. `held out`: queries and collection from photos
    that training never saw; `held-out queries`: those against all."""
    crops = list(object_crops(photos(shared / "data" / "gtsdb"), SIGN_LEAST))
    classes = sorted({c.name for c in crops})
    labels = np.array([classes.index(c.name) for c in crops])
    unseen = np.flatnonzero([c.photo.held_out for c in crops])
    lines = [
        "| crop -> crop, gtsdb signs | photos | P@1 | P@5 | mAP | highest P@5 | queries |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, look in looks.items():
        vectors = look(crops)
        for part, f in (
            ("held out", crop_to_crop(vectors[unseen], labels[unseen])),
            ("held-out queries", crop_to_crop(vectors, labels, unseen)),
            ("all", crop_to_crop(vectors, labels)),
        ):
            lines.append(f"| {name} | {part} | {_crop(f)} |")
    return lines


def report(model: Path, shared: Path, teachers: bool) -> str:
    """Both tables of the encoder in `model`, with the teachers' rows below if asked for. Raises
    FileNotFoundError where the photos or the teachers are not under `shared`."""
    encoder = Encoder(model)
    names = coco_names(shared)
    seen = _encoder_look(encoder)
    texts: dict[str, tuple[Look, Vectors]] = {
        "mini": (seen, encoder.texts([article(QUERY, name) for name in names]))
    }
    signs: dict[str, Look] = {"mini": seen}
    if teachers:
        folder = shared / "models" / "mobilenet"
        texts["MobileNetV2, ConSE"] = (_conse_look(folder), words(shared).vectors[: len(names)])
        signs["MobileNetV1"] = _embedding_look(folder)
    return "\n".join([*text_rows(texts, shared), "", *sign_rows(signs, shared)])


def _encoder_look(encoder: Encoder) -> Look:
    return lambda crops: encoder.crops([c.pixels for c in crops])


def _conse_look(folder: Path) -> Look:
    conse, net = load_conse(folder / CONSE), TfliteNet(folder / DISTRIBUTION)
    return lambda crops: conse(np.stack([net(_square(c)) for c in crops]))[0]


def _embedding_look(folder: Path) -> Look:
    net = TfliteNet(folder / EMBEDDING)

    def look(crops: Sequence[Crop]) -> Vectors:
        features = np.stack([net(_square(c)) for c in crops])
        return unit(features - features.mean(axis=0))

    return look


def _square(crop: Crop) -> NDArray[np.uint8]:
    height, width = crop.pixels.shape[:2]
    return cut(crop.pixels, Box(0, 0, width, height), SIDE)


def _text(f: TextFigures) -> str:
    parts = (f.mean_ap, f.at_1, f.at_5, f.zero_shot, f.chance)
    return " | ".join([*(f"{v:.3f}" for v in parts), str(f.classes), str(f.crops)])


def _crop(f: CropFigures) -> str:
    parts = (f.at_1, f.at_5, f.mean_ap, f.ceiling)
    return " | ".join([*(f"{v:.3f}" for v in parts), str(f.queries)])
