"""How soon the page shows a result: from Enter to the first picture, in a real browser.

    python -m benchmarks.page --photos FOLDER

Serves `mini`, one shard, a router and the page; puts in as many patches as asked for (boxes on the
photos of FOLDER, in turns, with vectors around those of words and of noise), and types one text
after the other into Chromium. Every text is asked once, so that nothing is answered from a cache.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from patchsearch import Client
from patchsearch.serving import EmbeddedCluster
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.vectors import matrix_to_proto
from placement.document import load_placement
from ui.program import running_ui
from ui.settings import make_settings

PATCHES_AN_IMAGE = 25
SIDE = 160
BATCH = 100
WARM_UP = 5
LEAST = 10_000
THINGS = ("a red car", "a bicycle", "a road sign", "a wild moose", "an ambulance", "a bus")
WEATHERS = ("in the snow", "at night", "in the rain", "far away", "behind a fence", "in the sun")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_SHOWN = """() => {
    const picture = document.querySelector(".card img");
    return picture && picture.complete && picture.naturalWidth > 0;
}"""


@dataclass(frozen=True)
class Result:
    """Milliseconds from Enter until the first hit's picture is there."""

    patches: int
    texts: int
    p50_ms: float
    p90_ms: float
    max_ms: float


def fill(cluster: EmbeddedCluster, data: Path, photos: list[Path], patches: int) -> None:
    """Puts images of `PATCHES_AN_IMAGE` patches straight into the shard, then seals."""
    with Client(cluster.address) as client:
        fingerprint, dim = client.describe().fingerprint, client.describe().dim
    (partition,) = load_placement(data / "placement.json").partitions
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((256, dim), dtype=np.float32)
    sizes = {}
    for path in photos:
        with Image.open(path) as photo:
            sizes[path] = photo.size
    with grpc.insecure_channel(partition.replicas[0].address) as channel:
        stub = ShardServiceStub(channel)
        count = patches // PATCHES_AN_IMAGE
        for start in track(range(0, count, BATCH), "put", transient=True):
            images = [
                _image(number, photos[number % len(photos)], sizes, centres, draw, fingerprint)
                for number in range(start, min(start + BATCH, count))
            ]
            stub.PutImages(pb.PutImagesRequest(partition_id=partition.id, images=images))
        stub.SealPartition(pb.SealPartitionRequest(partition_id=partition.id))


def _image(
    number: int,
    path: Path,
    sizes: dict[Path, tuple[int, int]],
    centres: NDArray[np.float32],
    draw: np.random.Generator,
    fingerprint: str,
) -> pb.StoredImage:
    width, height = sizes[path]
    image = pb.StoredImage(
        image_id=f"drive/{number:06}.jpg",
        version=number + 1,
        uri=str(path),
        width=width,
        height=height,
    )
    minute = number % 1440
    image.metadata.update(
        {
            "time": f"2024-05-{1 + number // 1440:02}T{minute // 60:02}:{minute % 60:02}:00Z",
            "gps": {"lat": 57.7 + number % 97 / 500, "lon": 11.9 + number % 89 / 500},
        }
    )
    for place in range(PATCHES_AN_IMAGE):
        patch = image.patches.add(level=1)
        patch.box.x = place % 5 * (width - SIDE) // 5
        patch.box.y = place // 5 * (height - SIDE) // 5
        patch.box.w = patch.box.h = SIDE
    rows = centres[draw.integers(0, len(centres), PATCHES_AN_IMAGE)]
    rows = rows + draw.standard_normal(rows.shape, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    image.vectors.CopyFrom(matrix_to_proto(rows, fingerprint))
    return image


def measure(page: Any, texts: list[str]) -> NDArray[np.float64]:
    """Milliseconds for each text, from an empty page each time."""
    took = np.empty(len(texts))
    for at, text in enumerate(texts):
        page.goto("/")
        page.keyboard.type(text)
        page.wait_for_load_state("networkidle")
        began = time.perf_counter()
        page.keyboard.press("Enter")
        page.wait_for_function(_SHOWN)
        took[at] = (time.perf_counter() - began) * 1e3
    return took


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--photos", type=Path, required=True, help="folder of JPEG photographs")
    parser.add_argument("--patches", type=int, default=100_000, help="10 000 or more")
    parser.add_argument("--json", type=Path, help="write the result there too")
    chosen = parser.parse_args()
    if chosen.patches < LEAST:
        parser.error(f"--patches {chosen.patches}: shards seal {LEAST} or more")
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium here: apt-get install chromium", file=sys.stderr)
        return 1
    photos = sorted(chosen.photos.glob("*.jpg"))
    if not photos:
        print(f"there are no *.jpg in {chosen.photos}", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    texts = [f"{thing} {weather}" for weather in WEATHERS for thing in THINGS]
    with tempfile.TemporaryDirectory(prefix="patchsearch-page-") as name:
        folder = Path(name)
        data = folder / "data"
        with EmbeddedCluster(data, "mini") as cluster:
            fill(cluster, data, photos, chosen.patches)
            settings = make_settings(
                port=0, router=cluster.address, photos=[str(chosen.photos)], data=folder / "desk"
            )
            with running_ui(settings) as address, sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=list(_FLAGS))
                page = browser.new_page(base_url=address, viewport={"width": 1280, "height": 800})
                took = measure(page, texts)[WARM_UP:]
                browser.close()
    p50, p90 = np.percentile(took, (50, 90)).tolist()
    result = Result(chosen.patches, len(took), p50, p90, float(took.max()))
    print(json.dumps(asdict(result), indent=2))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(asdict(result), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
