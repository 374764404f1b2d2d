"""One search at all partitions at once, each shard with the explicit list it is to answer for."""

from __future__ import annotations

import math
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
from router.merge import Key, rank
from router.partition_reads import PartitionReads
from router.query import SearchQuery
from router.reading import Answer, ReadResult

Request = shard_service_pb2.SearchPartitionsRequest
Response = shard_service_pb2.SearchPartitionsResponse

_BEFORE_ALL: Key = (-math.inf, b"", 0, 0, 0, 0)


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
    sure_until: Key | None
    """No hit up to this place of the order is missing in `runs`; None: no hit at all is."""

    def lacks_none_of(self, hits: Sequence[search_service_pb2.Hit], k: int) -> bool:
        """Whether `hits`, the first `k` of `runs`, are the first of all that answered."""
        if self.sure_until is None:
            return True
        return len(hits) == k and rank(hits[-1]) <= self.sure_until


class FanOut:
    """Searches all partitions of a placement. Thread-safe."""

    def __init__(self, single: PartitionReads, joint: PartitionReads) -> None:
        """`joint` asks several queries in a call, which takes longer: it is slow at other times."""
        self._single = single
        self._joint = joint

    def search(
        self,
        vectors: Sequence[NDArray[np.float32]],
        fingerprint: str,
        queries: Sequence[SearchQuery],
        placement: Placement,
        scope: CallScope,
        reserve_s: float,
        collection_patches: int = 0,
    ) -> list[FanOutResult]:
        """Asks a replica of every partition, and others where that one fails or is slow, until all
        have answered or the time less `reserve_s` is over; a result per query, in their order.

        All queries are one call at each shard. `vectors` are (d,) float32 of unit length, one a
        query. With `collection_patches`, those of the whole placement, each partition answers its
        likely share of the hits (`FanOutResult.sure_until`). What goes wrong is in the outcomes of
        the partitions. Raises DeadlineExceeded only when no time is left to ask, and
        PatchsearchError CANCELLED when the caller is gone.
        """
        read = _SearchRead(
            [
                _shard_request(vector, fingerprint, query, collection_patches)
                for vector, query in zip(vectors, queries, strict=True)
            ],
            reserve_s,
        )
        reads = self._single if len(queries) == 1 else self._joint
        result = reads.run(read, placement.partitions, placement, scope, reserve_s)
        if _must_ask_each(result, len(queries)):
            return [
                self.search(
                    [vector], fingerprint, [query], placement, scope, reserve_s, collection_patches
                )[0]
                for vector, query in zip(vectors, queries, strict=True)
            ]
        missed = [_missed(partition, error) for partition, error in result.missed]
        results = []
        for place in range(len(queries)):
            runs, outcomes, ends = [], missed.copy(), []
            for answer in result.answers:
                response = _response(answer, place)
                runs.append(_hits(response, answer.elsewhere))
                outcomes.extend(_outcomes(response, answer.counted))
                if response.more:
                    ends.append(rank(response.hits[-1]) if response.hits else _BEFORE_ALL)
            sure_until = min(ends, default=None)
            results.append(FanOutResult(runs, outcomes, result.placement, sure_until))
        return results


class _SearchRead:
    """Searches as a question to partitions."""

    grouped = True

    def __init__(self, requests: Sequence[Request], reserve_s: float) -> None:
        self._request, *further = requests
        self._request.further_queries.extend(further)
        self._reserve_s = reserve_s
        self.questions = len(requests)

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
        # An answer speaks for a partition if it does so for every query.
        errors: dict[str, PatchsearchError] = {}
        for one in (response, *response.further_answers):
            told = {result.partition_id: result for result in one.partitions}
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
    vector: NDArray[np.float32], fingerprint: str, query: SearchQuery, collection_patches: int
) -> Request:
    return Request(
        vector=vector_to_proto(vector, fingerprint),
        k=query.k,
        score_threshold=query.score_threshold,
        exact=query.exact,
        oversample=query.oversample,
        keep_overlapping=query.keep_overlapping,
        filter=None if query.filter is None else filter_to_proto(query.filter),
        ef=query.ef,
        nprobe=query.nprobe,
        # Overlapping patches of one image are many, and all in one partition.
        collection_patches=0 if query.keep_overlapping else collection_patches,
    )


def _must_ask_each(result: ReadResult[Response], queries: int) -> bool:
    """Whether queries that were asked together have to be asked one by one."""
    # A shard of an earlier release answers the first one alone.
    first_only = any(len(a.response.further_answers) != queries - 1 for a in result.answers)
    too_large = any(error.reason == "MESSAGE_TOO_LARGE" for _, error in result.missed)
    return first_only or (too_large and queries > 1)


def _response(answer: Answer[Response], place: int) -> Response:
    return answer.response.further_answers[place - 1] if place else answer.response


def _hits(response: Response, elsewhere: Sequence[Partition]) -> Sequence[search_service_pb2.Hit]:
    """The hits, without those of partitions that another answer speaks for.

    A hit that is missing because those took its place among the k best is not among the k best of
    all either.
    """
    if not elsewhere:
        return response.hits
    ranges = [(p.hash_start, p.hash_end) for p in elsewhere]
    return [
        hit
        for hit in response.hits
        if not any(start <= hash_of(hit.image_id) <= end for start, end in ranges)
    ]


def _outcomes(response: Response, counted: Sequence[Partition]) -> list[PartitionOutcome]:
    told = {result.partition_id: result for result in response.partitions}
    return [
        PartitionOutcome(
            partition,
            PartitionState.ANSWERED,
            patches=told[partition.id].patches,
            candidates_read=told[partition.id].candidates_read,
        )
        for partition in counted
    ]


def _missed(partition: Partition, error: PatchsearchError) -> PartitionOutcome:
    late = isinstance(error, DeadlineExceeded)
    state = PartitionState.TIMED_OUT if late else PartitionState.FAILED
    return PartitionOutcome(partition, state, error=error)
