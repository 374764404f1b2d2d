"""patchsearch.AsyncClient: the same operations as Client, with the same results."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest

from patchsearch import AsyncClient, Client, IngestOutcome, Photo, Query, errors

pytestmark = pytest.mark.asyncio


def photos(fake) -> list[Photo]:
    return [Photo(f"{name}.png", fake.picture(name)) for name in fake.COLOURS]


@pytest.mark.parametrize(
    "name", [n for n in vars(Client) if not n.startswith("_") or n == "__init__"]
)
async def test_both_clients_take_the_same_arguments(name: str) -> None:
    def arguments(cls: type) -> list[tuple[object, ...]]:
        parameters = inspect.signature(getattr(cls, name)).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    assert arguments(AsyncClient) == arguments(Client)


async def test_every_operation(address: str, fake) -> None:
    async with AsyncClient(address, timeout_s=10) as client:
        results = [result async for result in client.ingest(photos(fake))]
        assert [r.outcome for r in results] == [IngestOutcome.STORED] * 4
        assert (await client.search("red", k=1))[0].image_id == "red.png"
        outcomes = await client.batch_search([Query(("red", "green"), k=1), "no colour"])
        assert outcomes[0][0].image_id == "yellow.png"
        assert isinstance(outcomes[1], errors.InvalidArgument)
        assert (await client.get("red.png", include_vectors=True)).vectors.shape == (2, 3)
        ids = [image.image_id async for image in client.list(page_size=3)]
        assert ids == ["blue.png", "green.png", "red.png", "yellow.png"]
        assert (await client.describe()).images == 4
        assert await client.delete(["red.png", "nothing"]) == ["red.png"]


async def test_searches_run_side_by_side(address: str, fake) -> None:
    async with AsyncClient(address) as client:
        _ = [result async for result in client.ingest(photos(fake))]
        found = await asyncio.gather(*[client.search(name, k=1) for name in fake.COLOURS])
    assert [result[0].image_id for result in found] == [f"{name}.png" for name in fake.COLOURS]


async def test_photos_may_come_asynchronously(address: str, fake) -> None:
    async def later() -> AsyncIterator[Photo]:
        for photo in photos(fake):
            await asyncio.sleep(0.01)
            yield photo

    async with AsyncClient(address) as client:
        assert len([result async for result in client.ingest(later())]) == 4


async def test_errors_are_typed(address: str, collection) -> None:
    async with AsyncClient(address) as client:
        with pytest.raises(errors.NotFound) as missing:
            await client.get("nothing")
        assert missing.value.reason == "IMAGE_NOT_FOUND"
        collection.raises.append(errors.ResourceExhausted("OVERLOADED", "full", retry_after_s=2))
        with pytest.raises(errors.ResourceExhausted) as full:
            await client.describe()
        assert full.value.retry_after_s == 2


async def test_nobody_at_the_address() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.describe()
        assert caught.value.reason == "UNREACHABLE"
        with pytest.raises(errors.Unavailable):
            _ = [result async for result in client.ingest([b"x"])]


async def test_a_broken_stream_goes_on_where_it_was(address: str, collection, fake) -> None:
    collection.breaks_after += [3, 0, 25]
    shades = [Photo(f"{i:02}", fake.picture((i, 9, 9), 16, 16)) for i in range(40)]
    async with AsyncClient(address) as client:
        results = [result async for result in client.ingest(shades)]
    assert sorted(r.position for r in results) == list(range(40))
    assert len(collection.images) == 40


async def test_an_abandoned_ingest_leaves_nothing_running(address: str, collection, fake) -> None:
    collection.ingest_delay_s = 0.01
    shades = [Photo(f"{i:04}", fake.picture((i % 256, 9, 9), 16, 16)) for i in range(1000)]
    async with AsyncClient(address) as client:
        results = client.ingest(shades)
        await anext(results)
        await results.aclose()
        assert len(collection.calls) < 100
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert "ingest-answers" not in names


async def test_the_deadline_holds(address: str, collection, fake) -> None:
    collection.ingest_delay_s = 5
    async with AsyncClient(address) as client:
        with pytest.raises(errors.DeadlineExceeded):
            _ = [r async for r in client.ingest([fake.picture("red")], timeout_s=0.3)]
