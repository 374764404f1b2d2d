"""Brings a replica up to another one: what differs is found by digests, and taken by version."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.replication.digests import hash_of
from shard_service.replication.replica import Replica, ReplicaSource
from shard_service.store.images import DeleteImage, RecordState

# The parts of the parts are whole buckets of a partition, and of the one that it is half of.
_PARTS = 64
_FINER_PARTS = 32
_MANY_DIFFER = 16
# Each run costs the source a look at all ids.
_MAX_RUNS = 8
_PAGE = 4096
_BATCH_IMAGES = 64

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one step took: images and deletions that were newer, or mended what was damaged."""

    images: int
    deletions: int


def converge(
    target: Replica,
    source: ReplicaSource,
    hash_start: int,
    hash_end: int,
    forgotten_before: int,
    checkpoint: Checkpoint = no_checkpoint,
) -> Iterator[Taken]:
    """Takes into `target` what of a range is newer in `source`, a batch a step, each durable.

    What is damaged in `target` is taken, too. A deletion of a version below `forgotten_before` is
    not taken where nothing older is left to delete: it is to be forgotten there, and perhaps was
    here. `checkpoint` is called now and then and may raise. Raises what `source` and
    `Replica.apply` raise; what was taken by then stays.
    """
    for start, end in _runs(_differing(target, source, hash_start, hash_end, checkpoint)):
        after: bytes | None = b""
        while after is not None:
            checkpoint()
            page = source.versions(start, end, after, _PAGE)
            after = page[-1][0] if len(page) == _PAGE else None
            yield from _taken(target, source, page, forgotten_before, checkpoint)
    damaged = sorted(key for key in target.damaged() if hash_start <= hash_of(key) <= hash_end)
    for at in range(0, len(damaged), _BATCH_IMAGES):
        checkpoint()
        yield _mended(target, source, damaged[at : at + _BATCH_IMAGES])


def _differing(
    target: Replica,
    source: ReplicaSource,
    hash_start: int,
    hash_end: int,
    checkpoint: Checkpoint,
) -> list[Range]:
    coarse = _unequal(target, source, (hash_start, hash_end), _PARTS)
    if len(coarse) > _MANY_DIFFER:
        return coarse
    fine = []
    for part in coarse:
        checkpoint()
        fine += _unequal(target, source, part, _FINER_PARTS)
    return fine


def _unequal(target: Replica, source: ReplicaSource, of: Range, parts: int) -> list[Range]:
    theirs = source.digests(*of, parts)
    mine = target.digests(*of, parts)
    return [
        (one.hash_start, one.hash_end)
        for one, other in zip(mine, theirs, strict=True)
        if (one.records, one.digest) != (other.records, other.digest)
    ]


def _runs(ranges: Sequence[Range]) -> list[Range]:
    """Ranges, in order, as at most eight: those with the smallest gaps between them become one."""
    if not ranges:
        return []
    gaps = [after[0] - before[1] for before, after in pairwise(ranges)]
    kept = sorted(range(len(gaps)), key=lambda at: -gaps[at])[: _MAX_RUNS - 1]
    # Neighbours are one run in any case.
    breaks = sorted(at for at in kept if gaps[at] > 1)
    starts = [0, *(at + 1 for at in breaks)]
    ends = [*breaks, len(ranges) - 1]
    return [(ranges[first][0], ranges[last][1]) for first, last in zip(starts, ends, strict=True)]


def _taken(
    target: Replica,
    source: ReplicaSource,
    page: Sequence[tuple[bytes, RecordState]],
    forgotten_before: int,
    checkpoint: Checkpoint,
) -> Iterator[Taken]:
    wanted: list[bytes] = []
    deletions: list[DeleteImage] = []
    known = target.states([key for key, _ in page])
    damaged = target.damaged()
    for (key, theirs), mine in zip(page, known, strict=True):
        if mine is not None and mine.version >= theirs.version:
            continue
        if not theirs.deleted:
            wanted.append(key)
        elif mine is not None or key in damaged or theirs.version >= forgotten_before:
            deletions.append(DeleteImage(key, theirs.version))
    for at in range(0, len(deletions), _PAGE):
        checkpoint()
        outcomes = target.apply([], deletions[at : at + _PAGE])
        yield Taken(0, sum(outcome.applied for outcome in outcomes))
    for at in range(0, len(wanted), _BATCH_IMAGES):
        checkpoint()
        yield _fetched(target, source, wanted[at : at + _BATCH_IMAGES], ())


def _mended(target: Replica, source: ReplicaSource, keys: Sequence[bytes]) -> Taken:
    """Takes images that are damaged here, of the version that is stored here, too."""
    return _fetched(target, source, keys, frozenset(keys))


def _fetched(
    target: Replica, source: ReplicaSource, keys: Sequence[bytes], mends: Collection[bytes]
) -> Taken:
    outcomes = target.apply(source.images(keys), [], mends)
    return Taken(sum(outcome.applied for outcome in outcomes), 0)
