"""A search from terms to merged hits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import FailedPrecondition, InvalidArgument, NotFound, PatchsearchError
from patchsearch.v1 import search_service_pb2
from placement.document import Placement
from router.call_scope import CallScope
from router.collection import Collection
from router.composition import compose_query
from router.coverage import (
    Coverage,
    PartitionSizes,
    PartitionState,
    check_coverage,
    missing,
    summarise,
)
from router.fan_out import FanOut
from router.merge import merge_hits
from router.metrics import RouterMetrics
from router.query import SearchQuery
from router.term_resolution import TermResolver
from service_runtime.stages import stage


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds a stage took."""

    encode_ms: float
    fan_out_ms: float
    merge_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Merged hits and what they speak for."""

    hits: list[search_service_pb2.Hit]
    coverage: Coverage
    epoch: int
    """Of the placement that was used in the end."""
    candidates_read: int
    timings: Timings
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    query: SearchQuery
    vector: NDArray[np.float32]
    warnings: tuple[str, ...]
    began: float
    encode_ms: float


class Searcher:
    """Resolves, composes, fans out and merges. Thread-safe."""

    def __init__(
        self,
        resolver: TermResolver,
        fan_out: FanOut,
        sizes: PartitionSizes,
        batch_threads: ThreadPoolExecutor,
        merge_reserve_s: float,
        metrics: RouterMetrics,
    ) -> None:
        """`batch_threads` bounds how many searches of batches are at the shards at a time."""
        self._resolver = resolver
        self._fan_out = fan_out
        self._sizes = sizes
        self._batch_threads = batch_threads
        self._reserve_s = merge_reserve_s
        self._metrics = metrics

    def search(
        self, query: SearchQuery, collection: Collection, placement: Placement, scope: CallScope
    ) -> SearchAnswer:
        """The first `query.k` hits of all partitions that answer within the call's time.

        Raises what `TermResolver.resolve`, `compose_query` and `check_coverage` raise.
        """
        (prepared,) = self._prepare([query], collection, placement, scope)
        if isinstance(prepared, PatchsearchError):
            raise prepared
        return self._run(prepared, collection, placement, scope)

    def search_many(
        self,
        queries: Sequence[SearchQuery | PatchsearchError],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
    ) -> list[SearchAnswer | PatchsearchError]:
        """An outcome per query, in their order; an error given in its place is handed through.

        The terms of all queries are resolved together.
        """
        outcomes: list[SearchAnswer | PatchsearchError | None] = [
            q if isinstance(q, PatchsearchError) else None for q in queries
        ]
        good = [(i, q) for i, q in enumerate(queries) if isinstance(q, SearchQuery)]
        prepared = self._prepare_each([q for _, q in good], collection, placement, scope)

        def attempt(ready: _Prepared | PatchsearchError) -> SearchAnswer | PatchsearchError:
            if isinstance(ready, PatchsearchError):
                return ready
            try:
                return self._run(ready, collection, placement, scope)
            except PatchsearchError as error:
                return error

        # Each in the context of the call, so that log lines and requests keep its request id.
        running = [self._batch_threads.submit(copy_context().run, attempt, p) for p in prepared]
        for (position, _), future in zip(good, running, strict=True):
            outcomes[position] = future.result()
        return [outcome for outcome in outcomes if outcome is not None]

    def _prepare_each(
        self,
        queries: Sequence[SearchQuery],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
    ) -> list[_Prepared | PatchsearchError]:
        if not queries:
            return []
        try:
            return self._prepare(queries, collection, placement, scope)
        except (InvalidArgument, NotFound, FailedPrecondition) as error:
            # One bad term refuses the joint call; each query alone tells whose it was.
            if len(queries) > 1:
                return [self._prepare_each([q], collection, placement, scope)[0] for q in queries]
            return [error]
        except PatchsearchError as error:
            return [error] * len(queries)

    def _prepare(
        self,
        queries: Sequence[SearchQuery],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
    ) -> list[_Prepared | PatchsearchError]:
        began = time.perf_counter()
        terms = [term for query in queries for term in query.terms]
        with stage("encode", terms=len(terms)):
            resolved = self._resolver.resolve(terms, collection, placement, scope, self._reserve_s)
        prepared: list[_Prepared | PatchsearchError] = []
        start = 0
        for query in queries:
            end = start + len(query.terms)
            warnings = tuple(
                f"term {position - start}: {text}"
                for position, text in sorted(resolved.warnings.items())
                if start <= position < end
            )
            try:
                vector = compose_query(resolved.vectors[start:end], [t.weight for t in query.terms])
            except InvalidArgument as error:
                prepared.append(error)
            else:
                prepared.append(_Prepared(query, vector, warnings, began, _since_ms(began)))
            start = end
        return prepared

    def _run(
        self, prepared: _Prepared, collection: Collection, placement: Placement, scope: CallScope
    ) -> SearchAnswer:
        query = prepared.query
        fan_out_began = time.perf_counter()
        with stage("fan-out", partitions=len(placement.partitions)):
            found = self._fan_out.search(
                prepared.vector, collection.fingerprint, query, placement, scope, self._reserve_s
            )
        merge_began = time.perf_counter()
        answered = [o for o in found.outcomes if o.state is PartitionState.ANSWERED]
        self._sizes.learn({o.partition.id: o.patches for o in answered})
        coverage = summarise(found.outcomes, self._sizes)
        self._metrics.searched(
            merge_began - fan_out_began, coverage.partitions_answered, coverage.partitions_total
        )
        check_coverage(coverage, found.outcomes, query.min_coverage)
        with stage("merge", runs=len(found.runs)):
            hits = merge_hits(found.runs, query.k)
        warnings = prepared.warnings
        if coverage.degraded:
            warnings = (*warnings, missing(found.outcomes))
        return SearchAnswer(
            hits=hits,
            coverage=coverage,
            epoch=found.placement.epoch,
            candidates_read=sum(o.candidates_read for o in answered),
            timings=Timings(
                encode_ms=prepared.encode_ms,
                fan_out_ms=(merge_began - fan_out_began) * 1e3,
                merge_ms=_since_ms(merge_began),
                total_ms=_since_ms(prepared.began),
            ),
            warnings=warnings,
        )


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
