"""Compares keys of an LMDB data file by the thousand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shard_service.integrity.page_file import PageFile

Columns = NDArray[np.int64]


def not_ascending(
    file: PageFile, a: tuple[Columns, Columns], b: tuple[Columns, Columns], *, or_equal: bool
) -> NDArray[np.bool_]:
    """For each pair of keys, given as (offsets, sizes) (n,) each, whether `a` is not before `b`.

    Keys compare byte by byte, and a key comes before longer ones that begin with it. `or_equal`
    also allows equal keys.
    """
    (a_at, a_sizes), (b_at, b_sizes) = a, b
    wrong = np.zeros(len(a_at), np.bool_)
    open_pairs = np.arange(len(a_at))
    done = 0
    while len(open_pairs):
        left = file.words(a_at[open_pairs] + done, a_sizes[open_pairs] - done)
        right = file.words(b_at[open_pairs] + done, b_sizes[open_pairs] - done)
        wrong[open_pairs[left > right]] = True
        same = left == right
        done += 8
        longer = (a_sizes[open_pairs] > done) | (b_sizes[open_pairs] > done)
        # Equal up to the zeros behind the shorter one: their sizes decide.
        ended = open_pairs[same & ~longer]
        excess = a_sizes[ended] - b_sizes[ended]
        wrong[ended[excess > 0 if or_equal else excess >= 0]] = True
        open_pairs = open_pairs[same & longer]
    return wrong


def not_rising(file: PageFile, at: Columns) -> NDArray[np.bool_]:
    """Whether neighbours among little-endian u64 keys at `at` (n,) fail to rise; (n-1,)."""
    numbers = file.numbers(at, 8).astype(np.uint64)
    return np.asarray(numbers[:-1] >= numbers[1:])
