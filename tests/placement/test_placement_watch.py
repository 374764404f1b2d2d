from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest

from patchsearch.errors import FailedPrecondition, Unavailable
from placement.document import Placement, parse_placement
from placement.file_store import FilePlacementStore
from placement.watch import PlacementWatch


def placement(epoch: int, address: str = "127.0.0.1:1") -> Placement:
    return parse_placement(
        {
            "epoch": epoch,
            "partitions": [
                {
                    "id": "p0",
                    "hash_start": "0" * 16,
                    "hash_end": "f" * 16,
                    "replicas": ["a"],
                }
            ],
            "shards": {"a": address},
        }
    )


def watch_of(path: Path) -> tuple[FilePlacementStore, PlacementWatch]:
    store = FilePlacementStore(path, poll_s=0.005)
    store.replace(placement(1), None)
    return store, PlacementWatch(store)


def test_a_new_epoch_is_followed_after_it_was_prepared(tmp_path: Path) -> None:
    store, watch = watch_of(tmp_path / "placement.json")
    prepared: list[tuple[int, int]] = []
    came = threading.Event()

    def prepare(new: Placement) -> None:
        prepared.append((new.epoch, watch.current.epoch))
        came.set()

    watch.follow(0.05, prepare)
    store.replace(placement(2), 1)
    assert came.wait(5)
    assert watch.reload(2, 5).epoch == 2
    watch.stop()
    assert prepared == [(2, 1)]


def test_one_that_is_refused_is_tried_again(tmp_path: Path) -> None:
    store, watch = watch_of(tmp_path / "placement.json")
    tries: list[int] = []
    thrice = threading.Event()

    def prepare(new: Placement) -> None:
        tries.append(new.epoch)
        if len(tries) < 3:
            raise Unavailable("NOT_READY", "a shard has to start")
        thrice.set()

    watch.follow(0.01, prepare)
    store.replace(placement(2), 1)
    assert thrice.wait(5)
    assert watch.reload(2, 5).epoch == 2
    watch.stop()


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"epoch": 9, "partitions": [], "shards": {}}', None]
)
def test_what_is_invalid_is_not_taken(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "placement.json"
    _, watch = watch_of(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert not watch.check()
    assert watch.current == placement(1)
    watch.stop()


def test_what_is_older_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    store = FilePlacementStore(path)
    store.replace(placement(5), None)
    watch = PlacementWatch(store)
    path.unlink()
    store.replace(placement(4), None)
    assert not watch.check()
    assert watch.current.epoch == 5
    watch.stop()


def test_an_address_that_changed_comes_into_force(tmp_path: Path) -> None:
    store, watch = watch_of(tmp_path / "placement.json")
    store.replace(placement(2, "127.0.0.1:2"), 1)
    assert watch.check()
    assert not watch.check()
    assert watch.current.shards == {"a": "127.0.0.1:2"}
    watch.stop()


def test_a_reload_waits_for_the_epoch_and_no_longer_than_it_may(tmp_path: Path) -> None:
    store, watch = watch_of(tmp_path / "placement.json")
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(watch.reload(2, 10).epoch))
    waiting.start()
    store.replace(placement(2), 1)
    waiting.join(5)
    assert found == [2]
    started = time.monotonic()
    assert watch.reload(3, 0.05).epoch == 2
    assert 0.04 < time.monotonic() - started < 2
    watch.stop()


def test_stopping_ends_those_that_wait(tmp_path: Path) -> None:
    _, watch = watch_of(tmp_path / "placement.json")
    watch.follow(60)
    waiting = threading.Thread(target=watch.reload, args=(9, 60))
    waiting.start()
    watch.stop()
    waiting.join(5)
    assert not waiting.is_alive()


def test_without_a_placement_there_is_nothing_to_follow(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        PlacementWatch(FilePlacementStore(tmp_path / "none.json"))


def test_equal_placements_are_equal_whatever_made_them() -> None:
    assert dataclasses.replace(placement(1), epoch=2) == placement(2)
