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
from router.fan_out import FanOut, FanOutResult
from router.merge import merge_hits
from router.metrics import RouterMetrics
from router.query import SearchQuery
from router.term_resolution import TermResolver
from service_runtime.stages import stage

_TOGETHER = 16
_HITS_TOGETHER = 1024


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
        """`batch_threads` bounds how many calls for searches of batches a shard has at a time."""
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
        (outcome,) = self._run([prepared], collection, placement, scope)
        if isinstance(outcome, PatchsearchError):
            raise outcome
        return outcome

    def search_many(
        self,
        queries: Sequence[SearchQuery | PatchsearchError],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
    ) -> list[SearchAnswer | PatchsearchError]:
        """An outcome per query, in their order; an error given in its place is handed through.

        The terms of all queries are resolved together, and up to 16 are one call at each shard.
        """
        outcomes: dict[int, SearchAnswer | PatchsearchError] = {
            i: q for i, q in enumerate(queries) if isinstance(q, PatchsearchError)
        }
        good = [(i, q) for i, q in enumerate(queries) if isinstance(q, SearchQuery)]
        prepared = self._prepare_each([q for _, q in good], collection, placement, scope)
        ready: list[tuple[int, _Prepared]] = []
        for (position, _), one in zip(good, prepared, strict=True):
            if isinstance(one, PatchsearchError):
                outcomes[position] = one
            else:
                ready.append((position, one))

        def attempt(group: Sequence[_Prepared]) -> Sequence[SearchAnswer | PatchsearchError]:
            try:
                return self._run(group, collection, placement, scope)
            except PatchsearchError as error:
                return [error] * len(group)

        # Each in the context of the call, so that log lines and requests keep its request id.
        groups = _groups(ready)
        running = [
            self._batch_threads.submit(copy_context().run, attempt, [one for _, one in group])
            for group in groups
        ]
        for group, future in zip(groups, running, strict=True):
            for (position, _), outcome in zip(group, future.result(), strict=True):
                outcomes[position] = outcome
        return [outcomes[position] for position in range(len(queries))]

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
        self,
        group: Sequence[_Prepared],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
    ) -> list[SearchAnswer | PatchsearchError]:
        """An outcome for each; raises what `FanOut.search` raises."""
        began = time.perf_counter()
        patches = self._sizes.total(placement.partitions)
        found = self._ask(group, collection, placement, scope, patches)
        asked_s = time.perf_counter() - began
        outcomes: list[SearchAnswer | PatchsearchError] = []
        for one, result in zip(group, found, strict=True):
            try:
                merging, fan_out_s = time.perf_counter(), asked_s
                hits = _first(result, one.query.k)
                if not result.lacks_none_of(hits, one.query.k):
                    # A partition holds more of them than its share: all of each, then.
                    self._metrics.asked_again()
                    (result,) = self._ask([one], collection, placement, scope)
                    fan_out_s += time.perf_counter() - merging
                    merging = time.perf_counter()
                    hits = _first(result, one.query.k)
                outcomes.append(self._answer(one, result, hits, fan_out_s, _since_ms(merging)))
            except PatchsearchError as error:
                outcomes.append(error)
        return outcomes

    def _ask(
        self,
        group: Sequence[_Prepared],
        collection: Collection,
        placement: Placement,
        scope: CallScope,
        collection_patches: int = 0,
    ) -> list[FanOutResult]:
        with stage("fan-out", partitions=len(placement.partitions), queries=len(group)):
            return self._fan_out.search(
                [one.vector for one in group],
                collection.fingerprint,
                [one.query for one in group],
                placement,
                scope,
                self._reserve_s,
                collection_patches,
            )

    def _answer(
        self,
        prepared: _Prepared,
        found: FanOutResult,
        hits: list[search_service_pb2.Hit],
        fan_out_s: float,
        merge_ms: float,
    ) -> SearchAnswer:
        """Raises what `check_coverage` raises."""
        answered = [o for o in found.outcomes if o.state is PartitionState.ANSWERED]
        self._sizes.learn({o.partition.id: o.patches for o in answered})
        coverage = summarise(found.outcomes, self._sizes)
        self._metrics.searched(fan_out_s, coverage.partitions_answered, coverage.partitions_total)
        check_coverage(coverage, found.outcomes, prepared.query.min_coverage)
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
                fan_out_ms=fan_out_s * 1e3,
                merge_ms=merge_ms,
                total_ms=_since_ms(prepared.began),
            ),
            warnings=warnings,
        )


def _first(found: FanOutResult, k: int) -> list[search_service_pb2.Hit]:
    with stage("merge", runs=len(found.runs)):
        return merge_hits(found.runs, k)


def _groups(ready: Sequence[tuple[int, _Prepared]]) -> list[list[tuple[int, _Prepared]]]:
    """Which searches of a batch are one call at each shard; of one size, as far as they can be.

    Exact ones take too long to have others wait for them, and answers must not get too large.
    """
    exact = [[one] for one in ready if one[1].query.exact]
    others = [one for one in ready if not one[1].query.exact]
    if not others:
        return exact
    most = max(query.k for query in (one.query for _, one in others))
    size = max(1, min(_TOGETHER, _HITS_TOGETHER // most))
    count = -(-len(others) // size)
    return exact + [others[start::count] for start in range(count)]


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
