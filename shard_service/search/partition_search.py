"""A search of one partition: a snapshot, the images that a filter lets in, and the hits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import Unavailable
from patchsearch.filters import Filter
from shard_service.answers import PartitionAnswer
from shard_service.filters.damage import FiltersDamaged
from shard_service.search.hit_images import HitImages
from shard_service.search.query import PartitionQuery
from shard_service.search.segment_search import Ranking, search_segments
from shard_service.segments.row_table import Segment
from shard_service.segments.segment_set import SegmentSet, Snapshot
from shard_service.segments.selection import Selection, selected
from shard_service.store.patch_store import PatchStore

# A hit's image can be replaced between the snapshot and the reading of its record.
_ATTEMPTS = 8
_NEWER_S = 0.2
# A filter is evaluated as of one commit, whose snapshot is visible a moment after it.
_VISIBLE_S = 5.0
_SELECTIONS = 16

Searched = Callable[[PartitionQuery, Snapshot, Sequence[Selection], Ranking], None]


class PartitionSearch:
    """Searches the segments of a partition. Thread-safe.

    `mend_filters` rebuilds the filter index after damage; `searched` is told of every search.
    """

    def __init__(
        self,
        store: PatchStore,
        segments: SegmentSet,
        mend_filters: Callable[[], None],
        searched: Searched,
    ) -> None:
        self._store = store
        self._segments = segments
        self._mend_filters = mend_filters
        self._searched = searched
        self._selections = _RecentSelections()
        self._images = HitImages(store)

    def search(self, query: PartitionQuery, checkpoint: Callable[[], None]) -> PartitionAnswer:
        """The best `query.k` patches, or this partition's share of them; `checkpoint` is called now
        and then and may raise."""
        attempt = 1
        while True:
            snapshot, selections = self._selected(query.filter)
            asked, share = query.shared_out(snapshot.patches)
            ranking = search_segments(snapshot.segments, selections, asked, checkpoint, share)
            hits, complete = self._images.hits(ranking.rows)
            if complete or attempt == _ATTEMPTS:
                self._searched(asked, snapshot, selections, ranking)
                more = asked.k < query.k and len(ranking.rows) == asked.k
                return PartitionAnswer(hits, snapshot.patches, ranking.candidates_read, more)
            attempt += 1
            self._segments.wait_newer(snapshot.number, _NEWER_S)

    def _selected(self, filter: Filter | None) -> tuple[Snapshot, Sequence[Selection]]:
        """A snapshot, and of each of its segments the rows that may be found."""
        if filter is None:
            snapshot = self._segments.snapshot
            return snapshot, [segment.selection for segment in snapshot.segments]
        mended = False
        while True:
            seen: list[Snapshot] = []

            def opened(commits: int, seen: list[Snapshot] = seen) -> None:
                if not self._segments.wait_commits(commits, _VISIBLE_S):
                    raise Unavailable("NOT_READY", "a write does not become visible; try again")
                seen.append(self._segments.snapshot)

            try:
                commits, sequences = self._store.matching(filter, opened)
            except FiltersDamaged:
                if mended:
                    raise
                self._mend_filters()
                mended = True
                continue
            if seen[0].commits == commits:
                return seen[0], self._selections.get(filter, seen[0], sequences)


class _RecentSelections:
    """The selections of the latest filters, as long as their segments stay as they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Snapshot, Sequence[Selection]]] = OrderedDict()

    def get(
        self, filter: Filter, snapshot: Snapshot, sequences: NDArray[np.int64]
    ) -> Sequence[Selection]:
        # Not the filter itself: to Python, 1 and True are the same value.
        name = repr(filter)
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] is snapshot:
            return known[1]
        selections = [_selection(segment, sequences) for segment in snapshot.segments]
        with self._lock:
            self._known[name] = (snapshot, selections)
            self._known.move_to_end(name)
            if len(self._known) > _SELECTIONS:
                self._known.popitem(last=False)
        return selections


def _selection(segment: Segment, sequences: NDArray[np.int64]) -> Selection:
    """The live rows of the images whose first sequence is among `sequences`, which ascend."""
    table = segment.table
    if len(sequences) == 0:
        return selected(np.zeros(len(table), np.bool_))
    at = np.searchsorted(sequences, table.first_sequences)
    met = sequences[np.minimum(at, len(sequences) - 1)] == table.first_sequences
    return selected(met[table.row_images] & segment.selection.mask(len(table)))
