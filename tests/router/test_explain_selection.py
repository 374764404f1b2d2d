"""ExplainSelection through a real router, by both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from patchsearch import AsyncClient, Client, SelectionRule, WindowDecision
from patchsearch.errors import InvalidArgument, ResourceExhausted
from patchsearch.geometry import Box
from tests.contract.fake_encoder import MAP, SALIENCY, SELECTOR, photo
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard

Wait = Callable[[Callable[[], bool]], None]

BOXES = [Box(10, 20, 50, 50), Box(200, 20, 60, 60)]
PHOTO = photo([(box, seed) for seed, box in enumerate(BOXES)], width=400, height=300)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("router"), stack)


@pytest.fixture(scope="module")
def shard() -> FakeShard:
    return FakeShard()


@pytest.fixture(scope="module")
def client(stage: Stage, shard: FakeShard) -> Iterator[Client]:
    with Client(stage.router([shard], workers=4).server.address, timeout_s=20) as client:
        yield client


def test_an_explanation_comes_back_whole(client: Client) -> None:
    told = client.explain_selection(PHOTO)

    assert (told.width, told.height) == (400, 300)
    assert told.selection == f"{SELECTOR}/{SALIENCY}"
    assert [window.box for window in told.chosen] == BOXES
    assert told.counts == {(1, WindowDecision.CHOSEN): 2, (1, WindowDecision.BELOW_THRESHOLD): 1}
    assert (told.window_count, told.decode_ms, told.select_ms) == (3, 1, 2)
    (region,) = told.regions
    assert (region.rule, region.saliency_png) == (SelectionRule.SCORES, MAP)
    assert region.min_average == pytest.approx(0.05)
    assert region.max_patches is None and region.max_overlap is None
    assert told.windows[-1].rival is None


def test_selector_and_number_of_windows_reach_the_encoder(client: Client) -> None:
    async def explain() -> tuple[str, int]:
        async with AsyncClient(client.address, timeout_s=20) as other:
            told = await other.explain_selection(PHOTO, selector="other", max_windows=1)
        return told.selection, len(told.windows)

    assert asyncio.run(explain()) == (f"other/{SALIENCY}", 1)


def test_the_encoders_refusals_pass_through(client: Client, stage: Stage) -> None:
    with pytest.raises(InvalidArgument, match="IMAGE_UNDECODABLE"):
        client.explain_selection(b"no picture")
    calls = list(stage.encoder.calls)
    with pytest.raises(InvalidArgument, match="IMAGE_UNDECODABLE"):
        client.explain_selection(b"")
    for number in (0, 10_001):
        with pytest.raises(InvalidArgument, match="MAX_WINDOWS_OUT_OF_RANGE"):
            client.explain_selection(PHOTO, max_windows=number)
    assert stage.encoder.calls == calls
    stage.encoder.overloads = 1
    with pytest.raises(ResourceExhausted) as raised:
        client.explain_selection(PHOTO)
    assert (raised.value.reason, raised.value.retry_after_s) == ("OVERLOADED", 0.01)


def test_searches_come_first(client: Client, shard: FakeShard, wait_until: Wait) -> None:
    shard.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        searches = [threads.submit(client.search, "red") for _ in range(2)]
        try:
            wait_until(lambda: len(shard.searches) == 2)
            with pytest.raises(ResourceExhausted, match="searches keep this router busy"):
                client.explain_selection(PHOTO)
        finally:
            shard.go_on.set()
        assert not any(search.result().coverage.degraded for search in searches)
    assert client.explain_selection(PHOTO).windows


def test_a_router_that_redacts_gives_no_map(stage: Stage, client: Client) -> None:
    with Client(stage.start(redact=True).server.address, timeout_s=20) as redacted:
        told = redacted.explain_selection(PHOTO)

    assert [window.box for window in told.chosen] == BOXES
    assert told.regions[0].saliency_png == b"" and told.regions[0].saliency_map() is None
    assert "--redact" in told.warnings[-1]
