"""Merging the hits of shards: one total order, one k-way merge."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol, TypeVar


class BoxFields(Protocol):
    """What the order needs of a box."""

    @property
    def x(self) -> int: ...
    @property
    def y(self) -> int: ...
    @property
    def w(self) -> int: ...
    @property
    def h(self) -> int: ...


class Ranked(Protocol):
    """What the order needs of a hit; messages and dataclasses alike have it."""

    @property
    def score(self) -> float: ...
    @property
    def image_id(self) -> str: ...
    @property
    def box(self) -> BoxFields: ...


Key = tuple[float, bytes, int, int, int, int]
R = TypeVar("R", bound=Ranked)
T = TypeVar("T")
K = TypeVar("K", bytes, Key)


def rank(hit: Ranked) -> Key:
    """Sort key of the order that hits have everywhere: score descending, image_id by its UTF-8
    bytes, box by (x, y, w, h)."""
    box = hit.box
    return (-hit.score, hit.image_id.encode(), box.x, box.y, box.w, box.h)


def merge_hits(runs: Sequence[Sequence[R]], k: int) -> list[R]:
    """The first `k` hits of all runs together.

    Every run must be in the order of `rank`. Images lie whole in one partition and a partition is
    searched once, so no hit can be in two runs and overlap was settled inside the runs. Pure.
    """
    return merge_runs(runs, k, rank)


def merge_runs(runs: Sequence[Sequence[T]], limit: int, key: Callable[[T], K]) -> list[T]:
    """The first `limit` items of all runs together; each run must be sorted by `key`."""
    filled = [run for run in runs if run]
    if len(filled) == 1:
        return list(filled[0][:limit])
    return list(islice(heapq.merge(*filled, key=key), limit))
