from __future__ import annotations

import socket
from pathlib import Path

import pytest

from patchsearch.errors import FailedPrecondition, InvalidArgument, Unavailable
from placement.changes import initial_placement
from placement.document import is_no_placement
from placement.etcd_store import EtcdPlace, parse_etcd_url
from placement.opening import open_placement_store
from tests.placement.etcd_server import serving_etcd

PLACEMENT = initial_placement(
    {f"shard-{i}": f"127.0.0.1:{7101 + i}" for i in range(8)}, partitions=64, replicas=2
)


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("etcd://a:1/k", EtcdPlace((("a", 1),), "k")),
        ("etcd://a:1,b:2,[::1]:3/k/l", EtcdPlace((("a", 1), ("b", 2), ("::1", 3)), "k/l")),
        ("etcds://a:1/k", EtcdPlace((("a", 1),), "k", tls=True)),
        (
            "etcds://a:1/k?ca=/c.pem&cert=/d.pem&key=/e.pem",
            EtcdPlace((("a", 1),), "k", True, "/c.pem", "/d.pem", "/e.pem"),
        ),
    ],
)
def test_an_address_is_understood(url: str, place: EtcdPlace) -> None:
    assert parse_etcd_url(url) == place


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("etcd://a:1", "names no key"),
        ("etcd://a:1/", "names no key"),
        ("etcd:///k", "host:port"),
        ("etcd://a/k", "host:port"),
        ("etcd://a:0/k", "host:port"),
        ("etcd://a:1,/k", "host:port"),
        ("etcd://a:1/k?ca=/c", "etcds://"),
        ("etcds://a:1/k?cert=/c", "needs both"),
        ("etcds://a:1/k?user=x", "'user'"),
    ],
)
def test_a_bad_address_is_refused(url: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        open_placement_store(url)
    assert caught.value.reason == "PLACEMENT_URL_INVALID"


def test_a_member_that_is_down_is_passed_over(tmp_path: Path, closed_port: int) -> None:
    with serving_etcd(tmp_path) as address:
        store = open_placement_store(f"etcd://127.0.0.1:{closed_port},{address}/placement")
        with pytest.raises(FailedPrecondition) as caught:
            store.load()
        assert is_no_placement(caught.value)
        store.replace(PLACEMENT, None)
        assert store.load() == PLACEMENT
        store.close()


def test_while_nobody_answers_that_is_said(closed_port: int) -> None:
    store = open_placement_store(f"etcd://127.0.0.1:{closed_port}/placement")
    for attempt in (store.load, lambda: store.replace(PLACEMENT, None)):
        with pytest.raises(Unavailable) as caught:
            attempt()
        assert caught.value.reason == "PLACEMENT_UNAVAILABLE"
    assert not store.wait_for_change(0.05)
    store.close()


def test_a_store_that_was_down_is_followed_again(tmp_path: Path, closed_port: int) -> None:
    first = tmp_path / "first"
    first.mkdir()
    with serving_etcd(first, client_port=closed_port) as address:
        writer = open_placement_store(f"etcd://{address}/placement")
        reader = open_placement_store(f"etcd://{address}/placement")
        writer.replace(PLACEMENT, None)
        reader.load()
    assert not reader.wait_for_change(0.05)
    with serving_etcd(first, client_port=closed_port):
        later = initial_placement(PLACEMENT.shards, partitions=64, replicas=2, epoch=2)
        writer.replace(later, 1)
        assert reader.wait_for_change(10)
        assert reader.load() == later
    writer.close()
    reader.close()
