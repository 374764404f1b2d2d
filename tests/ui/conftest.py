"""A real router, shard and encoder in this process, and the page's real server in front of them."""

from __future__ import annotations

import html
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.contract.cluster import Cluster, serving_encoder
from tests.ui.picture_encoder import PictureEncoder
from ui.program import running_ui
from ui.settings import make_settings

CSRF = re.compile(r'X-CSRF-Token": "([^"]+)"')


@dataclass
class RunningPage:
    """A page that serves; `client` is a browser without scripts."""

    address: str
    client: httpx.Client
    photos: Path
    data: Path

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.client.get(path, params=params or None)

    def post(self, path: str, data: dict[str, str], **others: object) -> httpx.Response:
        """Sends a form of the page's own, with its token."""
        return self.client.post(path, data={"csrf": self.csrf(), **data}, **others)  # type: ignore[arg-type]

    def csrf(self) -> str:
        found = CSRF.search(self.client.get("/access").text)
        assert found, "the page has no token"
        return html.unescape(found[1])


def photo_file(path: Path, seed: int, size: tuple[int, int] = (640, 400)) -> Path:
    """A JPEG of coarse noise, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (10, 16, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, "JPEG")
    return path


def crop_bytes(seed: int) -> bytes:
    """A PNG that can be uploaded."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((96, 96)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two shards that tests share and do not stop."""
    with serving_encoder(PictureEncoder()) as encoder:
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), 2, encoder)
        yield cluster
        cluster.close()


@pytest.fixture(scope="session")
def router_address(cluster: Cluster) -> str:
    return cluster.router_address


@pytest.fixture(scope="session")
def filled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of twelve photos that are ingested under `drive-N/NNN.jpg`."""
    from patchsearch import Client, Photo

    folder = tmp_path_factory.mktemp("photos")
    photos = []
    for number in range(12):
        name = f"drive-{number // 4}/{number:03d}.jpg"
        path = photo_file(folder / name, number)
        weather = ("snow", "rain")[number % 2]
        metadata = {
            **{"weather": weather, "drive": f"drive-{number // 4}", "speed": number},
            "time": f"2024-05-01T{10 + number}:30:00Z",
            "gps": {"lat": 48 + number / 100, "lon": 11 + number % 4 / 100},
        }
        photos.append(Photo(name, path, uri=str(path), metadata=metadata))
    with Client(cluster.router_address) as client:
        results = list(client.ingest(photos))
        # The first search of a process may have to compile.
        assert len(client.search("anything", timeout_s=120)) == 16
    assert [result.error for result in results] == [None] * 12
    return folder


@contextmanager
def serving_page(
    router: str, photos: Path, data: Path, **settings: object
) -> Iterator[RunningPage]:
    """The page over a router, on a port of its own."""
    made = make_settings(
        port=0, router=router, photos=[str(photos)], data=data, timeout_s=10, **settings
    )
    with (
        running_ui(made) as address,
        httpx.Client(base_url=address, follow_redirects=True, timeout=20) as client,
    ):
        yield RunningPage(address, client, photos, data)


@pytest.fixture
def page(router_address: str, filled: Path, tmp_path: Path) -> Iterator[RunningPage]:
    """The page over the filled collection, with sets of its own."""
    with serving_page(router_address, filled, tmp_path / "desk") as running:
        yield running


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits for something that happens in another thread; fails after ten seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < ends, "it did not happen in time"
            time.sleep(0.02)

    return wait
