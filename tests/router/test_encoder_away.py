"""An encoder that is gone is named as such, not as the address that the caller used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest

from patchsearch import Client, Crop, Photo
from patchsearch.errors import Unavailable
from patchsearch.geometry import Box
from tests.contract.cluster import serving_encoder, serving_router, write_placement
from tests.contract.fake_encoder import FakeEncoder, photo
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard

PHOTO = photo([(Box(10, 20, 50, 50), 1)], width=400, height=300)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Of a router that has seen its encoder, and sees it no more."""
    directory = tmp_path_factory.mktemp("router")
    placement = directory / "placement.json"
    with ExitStack() as stack:
        write_placement(placement, [Stage(directory, stack).shard(FakeShard())])
        with serving_encoder(FakeEncoder()) as encoder:
            router = stack.enter_context(serving_router(placement, encoder))
            client = stack.enter_context(Client(router.server.address, timeout_s=10))
            client.search("once")
        yield client


def ingest(client: Client) -> None:
    (result,) = client.ingest([Photo("a.jpg", PHOTO)])
    if result.error is not None:
        raise result.error


def test_it_is_named(client: Client) -> None:
    calls: list[Callable[[Client], object]] = [
        lambda client: client.search("a red bus"),
        lambda client: client.search(Crop(np.zeros((20, 20, 3), np.uint8))),
        lambda client: client.explain_selection(PHOTO),
        ingest,
    ]
    # Each is tried again for a while.
    with ThreadPoolExecutor() as pool:
        errors = [asked.exception() for asked in [pool.submit(call, client) for call in calls]]
    for error in errors:
        assert isinstance(error, Unavailable)
        assert error.reason == "ENCODER_UNAVAILABLE"
        assert "encoder" in error.message
