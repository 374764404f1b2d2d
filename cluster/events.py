"""What an operation tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChangeStarted:
    """Work on a partition begins; it is the `index`-th of `total`, from 1."""

    partition_id: str
    what: str
    index: int
    total: int


@dataclass(frozen=True, slots=True)
class ChangeFinished:
    """Work on a partition is done, after so many seconds."""

    partition_id: str
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The next step of the work on a partition, in words."""

    partition_id: str
    step: str


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy to a shard is, in bytes of its files."""

    partition_id: str
    shard: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a replica got from another one that it lacked."""

    partition_id: str
    shard: str
    source: str
    images: int
    deletions: int


@dataclass(frozen=True, slots=True)
class Halved:
    """How far a partition's split on one shard is, in images."""

    partition_id: str
    shard: str
    moved_images: int
    total_images: int


@dataclass(frozen=True, slots=True)
class Published:
    """A placement is in force from now on."""

    epoch: int
    what: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A shard let a partition go that it no longer has to hold."""

    partition_id: str
    shard: str


@dataclass(frozen=True, slots=True)
class Passed:
    """Something was left undone because a shard does not answer, or because it is for a person."""

    what: str


Event = (
    ChangeStarted
    | ChangeFinished
    | StepStarted
    | Copied
    | Repaired
    | Halved
    | Published
    | Dropped
    | Passed
)

Tell = Callable[[Event], None]
"""Gets each event in the thread that works; what it raises ends the operation where it is, and
the same command goes on from there."""


def tell_nobody(event: Event) -> None:
    """For operations that nobody watches."""


def in_words(event: Event) -> str:
    """An event as a line without its partition; empty for those that only tell how far it is."""
    if isinstance(event, ChangeStarted):
        return f"[{event.index}/{event.total}] {event.partition_id}: {event.what}"
    if isinstance(event, ChangeFinished):
        return f"done in {event.seconds:.1f} s"
    if isinstance(event, StepStarted):
        return event.step
    if isinstance(event, Repaired):
        told = f"{event.shard} got {event.images} images from {event.source}"
        return told + (f" and {event.deletions} deletions" if event.deletions else "")
    if isinstance(event, Published):
        return f"epoch {event.epoch}: {event.what}"
    if isinstance(event, Dropped):
        return f"{event.shard} dropped {event.partition_id}"
    if isinstance(event, Passed):
        return f"left undone: {event.what}"
    return ""
