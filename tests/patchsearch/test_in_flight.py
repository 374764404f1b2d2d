"""Clients hold searches back while servers refuse some of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from patchsearch import AsyncClient, Client
from patchsearch.errors import NotFound, ResourceExhausted

HOLDS = 3


class _Narrow:
    """Makes a fake collection refuse searches when more than `HOLDS` are under way."""

    def __init__(self, collection) -> None:
        self.refused = self.answered = 0
        self._under_way, self._lock = 0, threading.Lock()
        self._search: Callable = collection._search
        collection._search = self.search

    def search(self, request):
        with self._lock:
            if self._under_way >= HOLDS:
                self.refused += 1
                raise ResourceExhausted("OVERLOADED", "too many searches", retry_after_s=0.1)
            self._under_way += 1
        time.sleep(0.02)
        with self._lock:
            self._under_way -= 1
            self.answered += 1
        return self._search(request)


@pytest.fixture
def narrow(collection) -> _Narrow:
    return _Narrow(collection)


def test_a_rush_reaches_the_server_as_a_trickle(client: Client, narrow: _Narrow) -> None:
    outcomes: Counter[str] = Counter()

    def rush(_: int) -> None:
        for _ in range(60):
            try:
                client.search("red")
                outcomes["answered"] += 1
            except ResourceExhausted as error:
                assert (error.reason, error.retry_after_s) == ("OVERLOADED", 0.1)
                outcomes["not sent" if "not sent" in error.message else "refused"] += 1
                time.sleep(0.002)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(rush, range(12)))
    assert outcomes.total() == 720
    assert outcomes["answered"] == narrow.answered > 20
    # Without a limit nearly all would be sent, and refused.
    assert outcomes["refused"] == narrow.refused < outcomes["answered"]
    assert outcomes["not sent"] > 200


def test_one_search_at_a_time_is_always_sent(client: Client, narrow: _Narrow) -> None:
    with ThreadPoolExecutor(12) as pool:
        several = [pool.submit(client.search, "red") for _ in range(48)]
    assert any(isinstance(one.exception(), ResourceExhausted) for one in several)
    for _ in range(5):
        client.search("red")
    assert narrow.refused < 48


def test_other_failures_hold_nothing_back(client: Client, collection) -> None:
    for _ in range(20):
        collection.raises.append(NotFound("PATCH_NOT_FOUND", "no such patch"))
        with pytest.raises(NotFound):
            client.search("red")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.search("red"), range(64)))


def test_the_asyncio_client_holds_back_too(address: str, narrow: _Narrow) -> None:
    async def rush() -> Counter[str]:
        outcomes: Counter[str] = Counter()

        async def one(client: AsyncClient) -> None:
            for _ in range(40):
                try:
                    await client.search("red")
                    outcomes["answered"] += 1
                except ResourceExhausted as error:
                    outcomes["not sent" if "not sent" in error.message else "refused"] += 1
                    await asyncio.sleep(0.002)

        async with AsyncClient(address, timeout_s=10) as client:
            await asyncio.gather(*(one(client) for _ in range(12)))
        return outcomes

    outcomes = asyncio.run(rush())
    assert outcomes["answered"] == narrow.answered > 10
    assert outcomes["refused"] == narrow.refused < outcomes["not sent"]
