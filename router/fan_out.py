"""One search at every shard at once, each with the explicit list of partitions to answer for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import DeadlineExceeded, InternalError, PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.v1 import search_service_pb2
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.status import error_from_status
from patchsearch.wire.vectors import vector_to_proto
from router.call_scope import CallScope, answer
from router.connections import ShardConnections
from router.coverage import PartitionOutcome, PartitionState
from router.placement import Partition, Placement
from router.query import SearchQuery


@dataclass(frozen=True, slots=True)
class FanOutResult:
    """What came back in time."""

    runs: list[Sequence[search_service_pb2.Hit]]
    """Hits by shard, each in the order of `router.merge.rank`. The router reads of a hit only what
    it is ordered by, so the messages pass through as they are."""
    outcomes: list[PartitionOutcome]
    """One per partition of the placement."""


class FanOut:
    """Searches all partitions of a placement. Thread-safe."""

    def __init__(self, shards: ShardConnections) -> None:
        self._shards = shards

    def search(
        self,
        vector: NDArray[np.float32],
        fingerprint: str,
        query: SearchQuery,
        placement: Placement,
        scope: CallScope,
        reserve_s: float,
    ) -> FanOutResult:
        """Asks every shard and waits until all have answered or the time less `reserve_s` is over.

        `vector` is (d,) float32 of unit length. What goes wrong at a shard is in the outcomes of
        its partitions. Raises DeadlineExceeded only when no time is left to ask, and
        PatchsearchError CANCELLED when the caller is gone.
        """
        request = _shard_request(vector, fingerprint, query)
        asked = []
        for address, partitions in placement.by_address().items():
            request.partition_ids[:] = [p.id for p in partitions]
            # The message is serialised at once, so that the next shard can reuse it.
            call = scope.start(
                self._shards.stub(address).SearchPartitions, request, reserve_s=reserve_s
            )
            asked.append((partitions, call))
        runs: list[Sequence[search_service_pb2.Hit]] = []
        outcomes: list[PartitionOutcome] = []
        for partitions, call in asked:
            try:
                response = answer(call)
            except PatchsearchError as error:
                outcomes.extend(_missed(p, error) for p in partitions)
            else:
                runs.append(response.hits)
                outcomes.extend(_outcomes(partitions, response))
        if scope.cancelled:
            raise PatchsearchError("CANCELLED", "the caller cancelled the call")
        return FanOutResult(runs, outcomes)


def _shard_request(
    vector: NDArray[np.float32], fingerprint: str, query: SearchQuery
) -> shard_service_pb2.SearchPartitionsRequest:
    return shard_service_pb2.SearchPartitionsRequest(
        vector=vector_to_proto(vector, fingerprint),
        k=query.k,
        score_threshold=query.score_threshold,
        exact=query.exact,
        oversample=query.oversample,
        keep_overlapping=query.keep_overlapping,
        filter=None if query.filter is None else filter_to_proto(query.filter),
        ef=query.ef,
        nprobe=query.nprobe,
    )


def _outcomes(
    partitions: Sequence[Partition], response: shard_service_pb2.SearchPartitionsResponse
) -> list[PartitionOutcome]:
    results = {result.partition_id: result for result in response.partitions}
    outcomes = []
    for partition in partitions:
        result = results.get(partition.id)
        if result is None:
            lost = InternalError("INTERNAL", "the shard answered without naming this partition")
            outcomes.append(_missed(partition, lost))
        elif result.HasField("error"):
            outcomes.append(_missed(partition, error_from_status(result.error)))
        else:
            outcomes.append(
                PartitionOutcome(
                    partition,
                    PartitionState.ANSWERED,
                    patches=result.patches,
                    candidates_read=result.candidates_read,
                )
            )
    return outcomes


def _missed(partition: Partition, error: PatchsearchError) -> PartitionOutcome:
    late = isinstance(error, DeadlineExceeded)
    state = PartitionState.TIMED_OUT if late else PartitionState.FAILED
    return PartitionOutcome(partition, state, error=error)
