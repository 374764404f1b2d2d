"""A client of several routers does not notice that one of them stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchsearch import AsyncClient, Box, ChannelSecurity, Client, errors
from patchsearch.wire.addresses import channel_target
from tests.contract.cluster import Cluster, RunningRouter, serving_encoder, serving_router
from tests.contract.fake_encoder import FakeEncoder, photo


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with serving_encoder(FakeEncoder()) as encoder:
        running = Cluster(tmp_path, 1, encoder)
        yield running
        running.close()


def second_router(cluster: Cluster, stack: ExitStack, port: int = 0) -> RunningRouter:
    return stack.enter_context(
        serving_router(cluster.placement_path, cluster.encoder_address, port=port)
    )


def pictures(count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        yield f"{number}.jpg", photo([(Box(0, 0, 100, 100), number)], salt=str(number))


def test_searches_and_ingests_survive_the_stop_of_a_router(cluster: Cluster) -> None:
    with ExitStack() as stack:
        second = second_router(cluster, stack)
        first = cluster.router.server.address
        client = stack.enter_context(Client(f"{first},{second.server.address}", timeout_s=20))
        assert [result.error for result in client.ingest(pictures(20))] == [None] * 20
        stopping, outcomes = threading.Event(), []

        def search() -> None:
            # Some while both serve, some across the stop, some after it.
            for number in range(60):
                outcomes.append(len(client.search(f"text {number}", k=3)))
                if number == 20:
                    stopping.set()

        searching = threading.Thread(target=search)
        searching.start()
        assert stopping.wait(20)
        second.close()
        searching.join(60)
        assert outcomes == [3] * 60
        assert [result.error for result in client.ingest(pictures(30))] == [None] * 30
        assert client.describe().images == 30


def test_a_router_that_comes_back_is_used_again(cluster: Cluster) -> None:
    with ExitStack() as stack:
        second = second_router(cluster, stack)
        port = second.server.port
        client = stack.enter_context(
            Client(f"{cluster.router.server.address},127.0.0.1:{port}", timeout_s=20)
        )
        client.search("a", k=1)
        second.close()
        client.search("a", k=1)
        second_router(cluster, stack, port)
        cluster.router.close()
        # Only the one that came back is left.
        assert client.search("a", k=1).coverage.partitions_answered == 1


def test_the_asyncio_client_takes_several_too(cluster: Cluster) -> None:
    async def search(address: str) -> int:
        async with AsyncClient(address, timeout_s=20) as client:
            results = await asyncio.gather(*(client.search(f"t{n}", k=1) for n in range(8)))
            return sum(result.coverage.partitions_answered for result in results)

    address = cluster.router.server.address
    # Nobody listens at port 1.
    assert asyncio.run(search(f"127.0.0.1:1,{address}")) == 8


def test_nobody_there_names_every_address() -> None:
    with Client("127.0.0.1:1,127.0.0.1:2", timeout_s=5) as client:
        with pytest.raises(errors.Unavailable) as refused:
            client.describe()
    assert refused.value.reason == "UNREACHABLE"
    assert "127.0.0.1:1,127.0.0.1:2" in str(refused.value)


def test_what_gives_no_target() -> None:
    for address in ("a,b", "a:1,b:x", "a:1,b:0", ":1,:2", "http://a:1,b:2"):
        with pytest.raises(errors.InvalidArgument) as refused:
            channel_target(address)
        assert refused.value.reason == "ADDRESS_INVALID", address
    with pytest.raises(errors.Unavailable):
        channel_target("no-such-host.invalid:1,nor-this.invalid:2")


def test_targets() -> None:
    assert channel_target("router:7100").name == "router:7100"
    assert channel_target("router:7100,").options == ()
    assert channel_target("127.0.0.1:1, 127.0.0.2:2").name == "ipv4:127.0.0.1:1,127.0.0.2:2"
    assert channel_target("[::1]:1,[::2]:2").name == "ipv6:[::1]:1,[::2]:2"
    assert channel_target("127.0.0.1:1,no-such-host.invalid:2").name == "ipv4:127.0.0.1:1"
    assert ("grpc.lb_policy_name", "round_robin") in channel_target("dns:///router:1").options


def test_a_token_crosses_no_network_in_the_clear() -> None:
    token = ChannelSecurity(token="secret")
    token.check("127.0.0.1:1,localhost:2")
    with pytest.raises(errors.InvalidArgument) as refused:
        token.check("127.0.0.1:1,10.0.0.7:2")
    assert refused.value.reason == "TOKEN_WITHOUT_TLS"
