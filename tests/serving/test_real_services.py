"""The embedded deployment with the real encoder, shards and router."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from patchsearch import Client, Crop, PatchsearchError, Photo, SearchResult
from patchsearch.serving import EmbeddedCluster


def photo(seed: int) -> bytes:
    """A PNG of 320 x 240 with coarse noise, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def test_what_is_stored_outlives_kill_9(tmp_path: Path, eventually: Any) -> None:
    one_thread: Any = {"encoder": ("--torch-threads", "1", "--precision", "float32")}
    photos = [Photo(f"photo-{seed}", photo(seed)) for seed in range(4)]
    data = tmp_path / "data"
    with EmbeddedCluster(data, "mini", 2, arguments=one_thread) as cluster:
        with Client(cluster.address, timeout_s=30) as client:
            stored = list(client.ingest(photos))
            expected = client.search(Crop(photo(2)), exact=True)

            os.kill(cluster.pids["shard-1"], signal.SIGKILL)

            def whole() -> SearchResult | None:
                try:
                    return client.search(Crop(photo(2)), exact=True, min_coverage=1.0)
                except PatchsearchError:
                    return None

            after_kill = eventually(whole)
            images = [image.image_id for image in client.list()]

    assert [result.error for result in stored] == [None] * 4
    assert len(expected) > 0
    assert after_kill.hits == expected.hits
    assert images == [f"photo-{seed}" for seed in range(4)]
