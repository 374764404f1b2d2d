"""What every placement store holds to, on a file and on etcd."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from patchsearch.errors import FailedPrecondition
from placement.document import Placement, parse_placement
from placement.opening import open_placement_store
from placement.store import PlacementStore
from tests.placement.etcd_server import serving_etcd

Open = Callable[[], PlacementStore]
"""Another store over the same place."""


def placement(epoch: int, shards: int = 1) -> Placement:
    return parse_placement(
        {
            "epoch": epoch,
            "partitions": [
                {
                    "id": "p0",
                    "hash_start": "0" * 16,
                    "hash_end": "f" * 16,
                    "replicas": ["shard-0"],
                    "joining": [f"shard-{i}" for i in range(1, shards)],
                }
            ],
            "shards": {f"shard-{i}": f"127.0.0.1:{7101 + i}" for i in range(shards)},
        }
    )


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_etcd(tmp_path_factory.mktemp("etcd")) as address:
        yield address


@pytest.fixture(params=["file", "etcd"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "file":
        where = str(tmp_path / "placement.json")
    else:
        where = f"etcd://{request.getfixturevalue('etcd')}/{tmp_path.name}/placement"
    opened: list[PlacementStore] = []

    def another() -> PlacementStore:
        opened.append(open_placement_store(where))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


def test_what_was_stored_is_there_for_everybody(open_store: Open) -> None:
    open_store().replace(placement(1, 3), None)
    assert open_store().load() == placement(1, 3)


def test_where_nothing_is_nothing_loads(open_store: Open) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        open_store().load()
    assert caught.value.reason == "PLACEMENT_INVALID"


@pytest.mark.parametrize("expected", [None, 1, 3])
def test_who_expects_another_epoch_is_refused(open_store: Open, expected: int | None) -> None:
    store = open_store()
    store.replace(placement(2), None)
    with pytest.raises(FailedPrecondition) as caught:
        store.replace(placement(9), expected)
    assert caught.value.reason == "PLACEMENT_CHANGED"
    assert store.load() == placement(2)


def test_who_expects_one_where_none_is_is_refused(open_store: Open) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        open_store().replace(placement(2), 1)
    assert caught.value.reason == "PLACEMENT_CHANGED"


def test_an_epoch_never_stays_or_goes_back(open_store: Open) -> None:
    store = open_store()
    store.replace(placement(2), None)
    for epoch in (1, 2):
        with pytest.raises(FailedPrecondition) as caught:
            store.replace(placement(epoch), 2)
        assert caught.value.reason == "PLACEMENT_INVALID"
    assert store.load() == placement(2)


def test_of_many_writers_one_wins_each_epoch(open_store: Open) -> None:
    open_store().replace(placement(0), None)
    writers, epochs = 4, 10
    stores = [open_store() for _ in range(writers)]
    start = threading.Barrier(writers)

    def write(store: PlacementStore) -> int:
        won = 0
        for epoch in range(epochs):
            start.wait(30)
            try:
                store.replace(placement(epoch + 1), epoch)
            except FailedPrecondition as error:
                assert error.reason == "PLACEMENT_CHANGED"
            else:
                won += 1
        return won

    with ThreadPoolExecutor(writers) as threads:
        assert sum(threads.map(write, stores)) == epochs
    assert open_store().load() == placement(epochs)


def test_a_change_wakes_those_that_wait(open_store: Open) -> None:
    writer, reader = open_store(), open_store()
    writer.replace(placement(1), None)
    reader.load()
    assert not reader.wait_for_change(0.05)
    seen: list[bool] = []
    waiting = [
        threading.Thread(target=lambda: seen.append(reader.wait_for_change(20))) for _ in range(3)
    ]
    for thread in waiting:
        thread.start()
    writer.replace(placement(2), 1)
    for thread in waiting:
        thread.join(10)
    assert seen == [True] * 3
    # Until it is loaded it is news.
    assert reader.wait_for_change(0.05)
    assert reader.load() == placement(2)
    assert not reader.wait_for_change(0.05)


def test_a_change_between_loading_and_waiting_is_not_missed(open_store: Open) -> None:
    writer, reader = open_store(), open_store()
    writer.replace(placement(1), None)
    reader.load()
    writer.replace(placement(2), 1)
    assert reader.wait_for_change(10)


def test_closing_ends_those_that_wait(open_store: Open) -> None:
    store = open_store()
    store.replace(placement(1), None)
    store.load()
    seen: list[bool] = []
    waiting = threading.Thread(target=lambda: seen.append(store.wait_for_change(60)))
    waiting.start()
    store.close()
    store.close()
    waiting.join(10)
    assert seen == [False]
    assert not store.wait_for_change(60)
