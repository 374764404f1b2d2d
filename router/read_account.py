"""What a reading keeps account of: partitions without an answer, calls under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import grpc

from patchsearch.errors import PatchsearchError
from placement.document import Partition, Placement
from router.metrics import CallKind

ResponseT = TypeVar("ResponseT")


@dataclass(slots=True, eq=False)
class OpenPartition:
    """One partition that is still to be answered."""

    partition: Partition
    tried: set[str] = field(default_factory=set)
    in_flight: int = 0
    hedged: bool = False
    reloading: bool = False
    reloaded: bool = False
    again: bool = False
    error: PatchsearchError | None = None


@dataclass(slots=True, eq=False)
class Attempt(Generic[ResponseT]):
    """One call."""

    address: str
    units: list[OpenPartition]
    kind: CallKind
    epoch: int
    began: float
    future: grpc.CallFuture[ResponseT]
    stuck: bool = False
    """No answer is expected any more."""

    def concerns(self, units: Iterable[OpenPartition]) -> bool:
        """Whether it asks for one of these."""
        mine = {id(unit) for unit in self.units}
        return any(id(unit) in mine for unit in units)


@dataclass(frozen=True, slots=True, eq=False)
class Reloaded:
    """A placement came in place of one that was stale for some partitions."""

    units: list[OpenPartition]
    placement: Placement


def beaten(
    winner: Attempt[ResponseT], running: Iterable[Attempt[ResponseT]], far: Callable[[float], bool]
) -> list[str]:
    """The addresses that were asked for the same, and are waited for by far too long."""
    now = time.monotonic()
    return [a.address for a in running if a.concerns(winner.units) and far(now - a.began)]
