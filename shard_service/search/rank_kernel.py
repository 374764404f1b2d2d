"""Exact scores, order and overlap dedup of candidates, compiled, without Python's lock.

In Python these steps hold the lock for longer than the index searches without it, so that threads
would wait for each other. Every time that a thread gives the lock up it may wait to get it back:
`rank` does it once, `overlooked`, which takes two microseconds, never.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shard_service.compiled import compiled
from shard_service.index.scattered_reads import read_cached_rows


@compiled(nogil=True)
def rank(
    query: NDArray[np.float64],
    halves: NDArray[np.uint16],
    singles: NDArray[np.float32],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    known: int,
    boxes: NDArray[np.int32],
    row_images: NDArray[np.int32],
    threshold: float,
    k: int,
    dedup: bool,
) -> Any:
    """Scores the candidates from `known` on, orders all, and chooses among them greedily.

    `query` (d,); `halves` (c - known, d) bits of the vectors of the last candidates, `singles` what
    each of the 65 536 halves means; `rows` (c,) the candidates, each once; `scores` (c,), filled
    from `known` on: float64 dot products, always summed in the same order, rounded to float32.
    `boxes` (n, 4) and `row_images` (n,) of all rows.

    Returns, as indexes of candidates: `kept`, best first, at most `k` and those whose score equals
    the `k`th one's; `suppressed`, best first, and `by`, the place in `kept` of what suppresses
    each; whether two kept ones of different images have one score. Equal scores are ordered by
    image place and box. Without `dedup` nothing is suppressed. Candidates below `threshold` are
    neither kept nor suppressed.
    """
    count = len(rows)
    for at in range(known, count):
        scores[at] = _dot(query, halves[at - known], singles)
    order = _ordered(rows, scores, boxes, row_images)
    kept = np.empty(count, np.int64)
    suppressed = np.empty(count, np.int64)
    by = np.empty(count, np.int64)
    found = left_out = 0
    tied = False
    for at in order:
        if not scores[at] >= threshold:
            break
        full = found >= k and scores[at] != scores[kept[k - 1]]
        if full and not dedup:
            break
        row = rows[at]
        place = -1
        if dedup:
            for other in range(found):
                if _overlap(row, rows[kept[other]], boxes, row_images):
                    place = other
                    break
        if place >= 0:
            suppressed[left_out] = at
            by[left_out] = place
            left_out += 1
        elif not full:
            if found and scores[kept[found - 1]] == scores[at]:
                tied |= row_images[rows[kept[found - 1]]] != row_images[row]
            kept[found] = at
            found += 1
    return kept[:found].copy(), suppressed[:left_out].copy(), by[:left_out].copy(), tied


@compiled(nogil=True)
def read_and_settle(
    file: int,
    begin: int,
    query: NDArray[np.float64],
    singles: NDArray[np.float32],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    known: int,
    boxes: NDArray[np.int32],
    levels: NDArray[np.uint16],
    row_images: NDArray[np.int32],
    image_starts: NDArray[np.int64],
    image_rows: NDArray[np.int32],
    first_sequences: NDArray[np.int64],
    threshold: float,
    k: int,
    dedup: bool,
    complete: bool,
) -> Any:
    """`rank` of candidates whose vectors lie in `file` from byte `begin` on, row after row.

    With `complete`, rows that overlap a kept one and are no candidates become some, until there are
    none. Returns whether all vectors were in the page cache (if not, nothing else holds), `rows`
    and `scores` with those that were added, and the ranking as `told` tells it.
    """
    while True:
        halves = np.empty((len(rows) - known, len(query)), np.uint16)
        cached = bool(read_cached_rows(file, begin, rows[known:], halves).all())
        ranking = rank(
            query, halves, singles, rows, scores, known, boxes, row_images, threshold, k, dedup
        )
        if not cached or not complete or not dedup:
            break
        more = overlooked(rows, ranking[0], boxes, row_images, image_starts, image_rows)
        if len(more) == 0:
            break
        known = len(rows)
        rows = np.concatenate((rows, more))
        scores = np.concatenate((scores, np.empty(len(more), np.float32)))
    hits = told(rows, scores, ranking, boxes, levels, row_images, first_sequences)
    return cached, rows, scores, hits


@compiled()
def told(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    ranking: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], bool],
    boxes: NDArray[np.int32],
    levels: NDArray[np.uint16],
    row_images: NDArray[np.int32],
    first_sequences: NDArray[np.int64],
) -> Any:
    """The candidates in `ranking`, which `rank` returned, with what is known of their rows.

    Returns of the kept ones (n, 8): which candidate, the place and the first sequence of its image,
    level, box; their scores (n,); of the suppressed ones (m, 5): the place in the kept ones of what
    suppresses it, box; their scores (m,); whether two of different images are tied.
    """
    kept, suppressed, by, tied = ranking
    hits = np.empty((len(kept), 8), np.int64)
    hit_scores = np.empty(len(kept), np.float32)
    for place in range(len(kept)):
        at = kept[place]
        row = rows[at]
        hits[place, 0] = at
        hits[place, 1] = row_images[row]
        hits[place, 2] = first_sequences[row_images[row]]
        hits[place, 3] = levels[row]
        for axis in range(4):
            hits[place, 4 + axis] = boxes[row, axis]
        hit_scores[place] = scores[at]
    behind = np.empty((len(suppressed), 5), np.int64)
    behind_scores = np.empty(len(suppressed), np.float32)
    for place in range(len(suppressed)):
        at = suppressed[place]
        behind[place, 0] = by[place]
        for axis in range(4):
            behind[place, 1 + axis] = boxes[rows[at], axis]
        behind_scores[place] = scores[at]
    return hits, hit_scores, behind, behind_scores, tied


@compiled()
def overlooked(
    rows: NDArray[np.int64],
    chosen: NDArray[np.int64],
    boxes: NDArray[np.int32],
    row_images: NDArray[np.int32],
    image_starts: NDArray[np.int64],
    image_rows: NDArray[np.int32],
) -> Any:
    """The rows that overlap one of `chosen`, candidates, and are none of the candidates `rows`.

    `image_starts` and `image_rows` as in `RowTable`; an empty `image_rows` stands for None.
    """
    table = _table(rows)
    found = np.empty(8, np.int64)
    count = 0
    for at in chosen:
        row = rows[at]
        image = row_images[row]
        for position in range(image_starts[image], image_starts[image + 1]):
            other = int(image_rows[position]) if len(image_rows) else position
            if not _overlap(row, other, boxes, row_images) or _has(table, other):
                continue
            again = False
            for earlier in range(count):
                again |= found[earlier] == other
            if again:
                continue
            if count == len(found):
                wider = np.empty(2 * count, np.int64)
                wider[:count] = found
                found = wider
            found[count] = other
            count += 1
    return found[:count].copy()


@compiled()
def _dot(
    query: NDArray[np.float64], halves: NDArray[np.uint16], singles: NDArray[np.float32]
) -> float:
    # Four sums at a time, as the next addition to one sum has to wait for the last.
    one = two = three = four = 0.0
    whole = len(query) // 4 * 4
    for at in range(0, whole, 4):
        one += query[at] * singles[halves[at]]
        two += query[at + 1] * singles[halves[at + 1]]
        three += query[at + 2] * singles[halves[at + 2]]
        four += query[at + 3] * singles[halves[at + 3]]
    for at in range(whole, len(query)):
        one += query[at] * singles[halves[at]]
    return (one + two) + (three + four)


@compiled()
def _ordered(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    boxes: NDArray[np.int32],
    row_images: NDArray[np.int32],
) -> NDArray[np.int64]:
    order = np.argsort(-scores, kind="mergesort")
    # Runs of equal scores are short: insertion puts them in the order of images and boxes.
    for at in range(1, len(order)):
        moving = order[at]
        to = at
        while (
            to > 0
            and scores[order[to - 1]] == scores[moving]
            and _before(rows[moving], rows[order[to - 1]], boxes, row_images)
        ):
            order[to] = order[to - 1]
            to -= 1
        order[to] = moving
    return order


@compiled()
def _before(row: int, other: int, boxes: NDArray[np.int32], row_images: NDArray[np.int32]) -> bool:
    if row_images[row] != row_images[other]:
        return bool(row_images[row] < row_images[other])
    for at in range(4):
        if boxes[row, at] != boxes[other, at]:
            return bool(boxes[row, at] < boxes[other, at])
    return False


@compiled()
def _overlap(row: int, other: int, boxes: NDArray[np.int32], row_images: NDArray[np.int32]) -> bool:
    if row_images[row] != row_images[other]:
        return False
    for axis in range(2):
        start, end = np.int64(boxes[row, axis]), np.int64(boxes[row, axis]) + boxes[row, axis + 2]
        first = np.int64(boxes[other, axis])
        if not (start < first + boxes[other, axis + 2] and first < end):
            return False
    return True


@compiled()
def _table(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A hash table of `rows` with open addressing; -1 where it is free."""
    size = 16
    while size < 2 * len(rows):
        size *= 2
    table = np.full(size, -1, np.int64)
    for row in rows:
        at = _hash(row, size)
        while table[at] != -1:
            at = (at + 1) & (size - 1)
        table[at] = row
    return table


@compiled()
def _has(table: NDArray[np.int64], row: int) -> bool:
    at = _hash(row, len(table))
    while table[at] != -1:
        if table[at] == row:
            return True
        at = (at + 1) & (len(table) - 1)
    return False


@compiled()
def _hash(row: int, size: int) -> int:
    # Knuth's multiplicative hashing (TAOCP 3, section 6.4) with a 32-bit golden ratio.
    return ((row * 2654435769) & 0xFFFFFFFF) >> 8 & (size - 1)
