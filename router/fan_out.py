"""One search at all partitions at once, each shard with the explicit list it is to answer for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import DeadlineExceeded, InternalError, PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.v1 import search_service_pb2
from patchsearch.wire.filters import filter_to_proto
from patchsearch.wire.status import error_from_status
from patchsearch.wire.vectors import vector_to_proto
from placement.document import Partition, Placement, hash_of
from router.call_scope import CallScope
from router.coverage import PartitionOutcome, PartitionState
from router.partition_reads import PartitionReads
from router.query import SearchQuery
from router.reading import Answer

Response = shard_service_pb2.SearchPartitionsResponse


@dataclass(frozen=True, slots=True)
class FanOutResult:
    """What came back in time."""

    runs: list[Sequence[search_service_pb2.Hit]]
    """Hits by answer, each in the order of `router.merge.rank`. The router reads of a hit only what
    it is ordered by, so the messages pass through as they are."""
    outcomes: list[PartitionOutcome]
    """One per partition of the placement."""
    placement: Placement
    """The newest that was used."""


class FanOut:
    """Searches all partitions of a placement. Thread-safe."""

    def __init__(self, reads: PartitionReads) -> None:
        self._reads = reads

    def search(
        self,
        vector: NDArray[np.float32],
        fingerprint: str,
        query: SearchQuery,
        placement: Placement,
        scope: CallScope,
        reserve_s: float,
    ) -> FanOutResult:
        """Asks a replica of every partition, and others where that one fails or is slow, until all
        have answered or the time less `reserve_s` is over.

        `vector` is (d,) float32 of unit length. What goes wrong is in the outcomes of the
        partitions. Raises DeadlineExceeded only when no time is left to ask, and PatchsearchError
        CANCELLED when the caller is gone.
        """
        read = _SearchRead(_shard_request(vector, fingerprint, query), reserve_s)
        result = self._reads.run(read, placement.partitions, placement, scope, reserve_s)
        outcomes = [_missed(partition, error) for partition, error in result.missed]
        for answer in result.answers:
            outcomes.extend(_outcomes(answer))
        runs = [_hits(answer) for answer in result.answers]
        return FanOutResult(runs, outcomes, result.placement)


class _SearchRead:
    """A search as a question to partitions."""

    grouped = True

    def __init__(
        self, request: shard_service_pb2.SearchPartitionsRequest, reserve_s: float
    ) -> None:
        self._request = request
        self._reserve_s = reserve_s

    def concerns(self, partition: Partition) -> bool:
        return True

    def start(
        self, stub: ShardServiceStub, partitions: Sequence[Partition], epoch: int, scope: CallScope
    ) -> grpc.CallFuture[Response]:
        # The message is serialised at once, so that the next call can reuse it.
        self._request.partition_ids[:] = [p.id for p in partitions]
        self._request.epoch = epoch
        return scope.start(stub.SearchPartitions, self._request, reserve_s=self._reserve_s)

    def errors(
        self, response: Response, partitions: Sequence[Partition]
    ) -> dict[str, PatchsearchError]:
        told = {result.partition_id: result for result in response.partitions}
        errors: dict[str, PatchsearchError] = {}
        for partition in partitions:
            result = told.get(partition.id)
            if result is None:
                errors[partition.id] = InternalError(
                    "INTERNAL", "the shard answered without naming this partition"
                )
            elif result.HasField("error"):
                errors[partition.id] = error_from_status(result.error)
        return errors


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


def _hits(answer: Answer[Response]) -> Sequence[search_service_pb2.Hit]:
    """The hits, without those of partitions that another answer speaks for.

    A hit that is missing because those took its place among the k best is not among the k best of
    all either.
    """
    if not answer.elsewhere:
        return answer.response.hits
    ranges = [(p.hash_start, p.hash_end) for p in answer.elsewhere]
    return [
        hit
        for hit in answer.response.hits
        if not any(start <= hash_of(hit.image_id) <= end for start, end in ranges)
    ]


def _outcomes(answer: Answer[Response]) -> list[PartitionOutcome]:
    told = {result.partition_id: result for result in answer.response.partitions}
    return [
        PartitionOutcome(
            partition,
            PartitionState.ANSWERED,
            patches=told[partition.id].patches,
            candidates_read=told[partition.id].candidates_read,
        )
        for partition in answer.counted
    ]


def _missed(partition: Partition, error: PatchsearchError) -> PartitionOutcome:
    late = isinstance(error, DeadlineExceeded)
    state = PartitionState.TIMED_OUT if late else PartitionState.FAILED
    return PartitionOutcome(partition, state, error=error)
