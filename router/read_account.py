"""What a reading keeps account of: partitions without an answer, calls under way."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True, eq=False)
class Reloaded:
    """A placement came in place of one that was stale for some partitions."""

    units: list[OpenPartition]
    placement: Placement
