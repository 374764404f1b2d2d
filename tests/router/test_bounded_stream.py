from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from router.ingest_stream import BoundedStream

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_every_item_gets_a_result(threads: ThreadPoolExecutor) -> None:
    stream: BoundedStream[int, int] = BoundedStream(lambda i: i * i, str, threads, 3)
    assert sorted(stream.run(range(200))) == [i * i for i in range(200)]


def test_results_come_as_they_finish(threads: ThreadPoolExecutor) -> None:
    first_may_finish = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            first_may_finish.wait(10)
        return item

    results = BoundedStream(work, str, threads, 3).run(range(3))
    assert {next(results), next(results)} == {1, 2}
    first_may_finish.set()
    assert list(results) == [0]


def test_no_more_are_read_than_may_be_in_flight(
    threads: ThreadPoolExecutor, wait_until: Wait
) -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for item in range(10):
            read.append(item)
            yield item

    release = threading.Event()

    def work(item: int) -> int:
        release.wait(10)
        return item

    results = BoundedStream(work, str, threads, 2).run(source())
    taken: list[int] = []
    consumer = threading.Thread(target=lambda: taken.append(next(results)))
    consumer.start()
    wait_until(lambda: len(read) == 2)
    release.set()
    consumer.join()
    # Both are done and one was taken, but nobody asked for the next: nothing more is read.
    assert not threading.Event().wait(0.1)
    assert len(read) == 2
    assert sorted([*taken, *results]) == list(range(10))


def test_items_of_one_key_are_worked_on_in_order(threads: ThreadPoolExecutor) -> None:
    began: list[int] = []
    running: set[str] = set()
    lock = threading.Lock()

    def work(item: int) -> int:
        key = str(item % 2)
        with lock:
            assert key not in running
            running.add(key)
            began.append(item)
        threading.Event().wait(0.002)
        with lock:
            running.discard(key)
        return item

    stream: BoundedStream[int, int] = BoundedStream(work, lambda i: str(i % 2), threads, 4)
    assert sorted(stream.run(range(30))) == list(range(30))
    assert [i for i in began if i % 2] == list(range(1, 30, 2))
    assert [i for i in began if not i % 2] == list(range(0, 30, 2))


def test_what_the_source_raises_comes_after_the_results_under_way(
    threads: ThreadPoolExecutor,
) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ConnectionError("gone")

    results = BoundedStream(lambda i: i, str, threads, 8).run(source())
    assert {next(results), next(results)} == {1, 2}
    with pytest.raises(ConnectionError, match="gone"):
        next(results)


def test_closing_stops_the_reading(threads: ThreadPoolExecutor, wait_until: Wait) -> None:
    read: list[int] = []
    ended = threading.Event()

    def source() -> Iterator[int]:
        try:
            for item in range(1000):
                read.append(item)
                yield item
        finally:
            ended.set()

    results = BoundedStream(lambda i: i, str, threads, 2).run(source())
    next(results)
    results.close()
    wait_until(ended.is_set)
    assert len(read) < 10
