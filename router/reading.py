"""What a reading from partitions is: a question, the answers of shards, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import grpc

from patchsearch.errors import DeadlineExceeded, PatchsearchError
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from placement.document import Partition, Placement
from router.call_scope import CallScope
from router.connections import ShardConnections
from router.hedging import Hedging
from router.metrics import RouterMetrics
from router.reloads import Reloads
from router.replica_states import ReplicaStates

ResponseT = TypeVar("ResponseT")
ResponseT_co = TypeVar("ResponseT_co", covariant=True)


class Read(Protocol[ResponseT]):
    """What is asked of partitions; the same question for every replica."""

    @property
    def grouped(self) -> bool:
        """Whether one call asks a shard about several partitions."""

    @property
    def questions(self) -> int:
        """How many questions a call asks of each partition."""

    def concerns(self, partition: Partition) -> bool:
        """Whether a partition is asked at all; looked at when partitions were split meanwhile."""

    def start(
        self, stub: ShardServiceStub, partitions: Sequence[Partition], epoch: int, scope: CallScope
    ) -> grpc.CallFuture[ResponseT]:
        """Sends the question; raises what `CallScope.start` raises."""

    def errors(
        self, response: ResponseT, partitions: Sequence[Partition]
    ) -> Mapping[str, PatchsearchError]:
        """By id, the partitions that this answer does not speak for."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[ResponseT_co]):
    """One shard's answer."""

    response: ResponseT_co
    counted: tuple[Partition, ...]
    """Partitions that it speaks for; no other answer does."""
    elsewhere: tuple[Partition, ...]
    """Those that are in it too, and that another answer speaks for."""


@dataclass(frozen=True, slots=True)
class ReadResult(Generic[ResponseT_co]):
    """What came back in time."""

    answers: list[Answer[ResponseT_co]]
    missed: list[tuple[Partition, PatchsearchError]]
    """Partitions that no replica answered for, and the last reason; DeadlineExceeded for those
    that were still waited for."""
    placement: Placement
    """The newest that was used."""


@dataclass(frozen=True, slots=True)
class ReadMeans:
    """What all readings of a router share."""

    shards: ShardConnections
    states: ReplicaStates
    reloads: Reloads
    hedging: Hedging
    metrics: RouterMetrics


def no_answer() -> DeadlineExceeded:
    """Why a partition is missing that was waited for until the end."""
    return DeadlineExceeded(
        "DEADLINE_EXCEEDED", "no answer in time; give the call a longer deadline"
    )
