"""Sets to export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import Box
from patchsearch.exports import SetItem, Verdict

ODD_IDS = (
    "drive 7/Größe.jpg",
    '<script>alert("1")</script>.jpg',
    "../../etc/passwd",
    "=HYPERLINK(A1),\n'new line'",
    "C:\\photos\\a.png",
    "雪/ambulance.webp",
)


@pytest.fixture
def items() -> list[SetItem]:
    """Boxes at odd places of odd sizes, in images whose sides divide by nothing."""
    random = np.random.default_rng(5)
    made = []
    for number, image_id in enumerate(("a.jpg", "night/b.png", *ODD_IDS)):
        width, height = 3847 - 97 * number, 2161 - 31 * number
        for place in range(1 + number % 3):
            x, y = int(random.integers(width - 1)), int(random.integers(height - 1))
            w, h = int(random.integers(1, width - x)), int(random.integers(1, height - y))
            made.append(
                SetItem(
                    image_id=image_id,
                    uri=f"/photos/{number}.jpg",
                    width=width,
                    height=height,
                    box=Box(x, y, w, h),
                    score=float(np.float32(random.uniform(-1, 1))),
                    label=("ambulance", "road: narrows", 'a "quoted" <tag>')[place % 3],
                    verdict=(Verdict.YES, Verdict.NO, Verdict.UNJUDGED)[number % 3],
                    metadata={"weather": "snow", "speed": 12.5, "tags": ["a", "b"], "n": number},
                )
            )
    return made


@pytest.fixture
def photos(tmp_path: Path) -> list[SetItem]:
    """Items whose photos are really there, each pixel of a colour of its own place."""
    made = []
    for number, (width, height) in enumerate(((61, 47), (97, 33))):
        ys, xs = np.mgrid[0:height, 0:width]
        pixels = np.stack([xs, ys, np.full_like(xs, number)], axis=2).astype(np.uint8)
        path = tmp_path / f"photo {number}.png"
        Image.fromarray(pixels).save(path)
        for box in (Box(3, 5, 11, 13), Box(30, 7, 20, 20)):
            made.append(SetItem(f"{number}.png", str(path), width, height, box, 0.5, "car"))
    return made
