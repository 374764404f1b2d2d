"""The demo on your own photographs: no ground truth, so pictures instead of precision."""

from __future__ import annotations

import hashlib
import json
import statistics
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console

from evaluation.demo.asking import ask, draw_sheet
from evaluation.demo.deployment import served
from evaluation.demo.gallery import Sheet, write_page
from evaluation.demo.ingesting import put_in
from patchsearch import Client
from patchsearch.errors import InvalidArgument, NotFound
from patchsearch.query import PatchRef

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TEXTS = ("an ambulance", "an animal", "a road narrows sign", "a traffic sign", "a car", "a person")
LIKE_THIS = 6
"""How many patches of the photos themselves are used as queries: "more like this"."""


def run_photos(folder: Path, out: Path, encoder: str, console: Console) -> None:
    """Ingests the photos of a folder, searches, and writes contact sheets and figures to `out`.

    Raises InvalidArgument (NO_PHOTOS) when the folder holds none.
    """
    photos = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not photos:
        raise InvalidArgument(
            "NO_PHOTOS", f"{folder} holds no JPEG, PNG or WebP; name a folder that does"
        )
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    home = out / f"photos-{name}-{encoder.replace(':', '-').replace('/', '-')}"
    home.mkdir(parents=True, exist_ok=True)
    with served(home / "data", encoder, console) as client:
        figures = put_in(client, photos, home / "ingest.json", console)
        answers = [
            (f"text-{n}", ask(client, f"“{text}”", [text], [], 16)) for n, text in enumerate(TEXTS)
        ]
        for number, (patch, pixels) in enumerate(_examples(client, photos)):
            title = f"more like this patch of {patch.image_id}"
            answers.append((f"like-{number}", ask(client, title, [patch], [pixels], 16)))
    sheets = []
    for file_stem, answer in answers:
        draw_sheet(answer, out / f"photos-{file_stem}.png", folder)
        sheets.append(
            Sheet(answer.title, f"{answer.milliseconds:.0f} ms", f"photos-{file_stem}.png")
        )
    lead = (
        f"{figures.photos} photos of {folder}, {figures.patches} patches,"
        f" {figures.photos_per_s:.1f} photos a second at ingest, encoder {encoder}."
    )
    write_page(out / "index.html", "patchsearch: what it found", lead, (), (), sheets)
    results = {
        "ingest_photos_per_s": figures.photos_per_s,
        "search_p50_ms": round(statistics.median(a.milliseconds for _, a in answers), 2),
        "photos": figures.photos,
        "patches": figures.patches,
    }
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(lead)
    console.print(f"contact sheets: {out / 'index.html'}\nfigures: {out / 'results.json'}")


def _examples(client: Client, photos: list[Path]) -> list[tuple[PatchRef, NDArray[np.uint8]]]:
    """The best patch (by selection score) of some photos, spread over the folder."""
    chosen = []
    for photo in photos[:: max(1, len(photos) // LIKE_THIS)][:LIKE_THIS]:
        try:
            patches = client.get(photo.name).patches
        except NotFound:  # it could not be read, and ingest said so
            continue
        box = max(patches, key=lambda patch: (patch.level, patch.selection_score)).box
        with Image.open(photo) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            pixels = np.asarray(upright.crop((box.x, box.y, box.right, box.bottom)))
        chosen.append((PatchRef(photo.name, box), pixels))
    return chosen
