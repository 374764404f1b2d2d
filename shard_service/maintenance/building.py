"""From rows to sealed segments: freeze, train once, build, check, swap; and merging those."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from patchsearch.errors import Unavailable
from service_runtime.logs import logger
from shard_service.derived_files import ManifestError, remove_directory, sync_path
from shard_service.index.codebook import (
    MIN_TRAINING_ROWS,
    Codebook,
    SharedCodebooks,
    codebook_kind,
    save_codebook,
    train_codebook,
)
from shard_service.index.profiles import Profile
from shard_service.index.threads import use_threads
from shard_service.maintenance.plan import SegmentSize, to_rebuild
from shard_service.partition_files import CODEBOOKS, SEGMENTS
from shard_service.segments.build import LiveRows, build_segment
from shard_service.segments.growing import GrowingSegment
from shard_service.segments.sealed import SealedSegment
from shard_service.segments.segment_set import SegmentSet
from shard_service.timings import NOT_TIMED, Timings


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What a build may take: OpenMP threads, and the rows of the largest segment it makes."""

    threads: int
    min_train_patches: int
    small_rows: int
    max_rows: int


class Building:
    """Builds the sealed segments of one partition.

    `adopt` notes a new codebook's id durably, `timings` are told of each build. `seal`, `merge` and
    `compact` must run on one thread at a time, each of them while the partition is searched and
    written; the rest is thread-safe. What they raise: OSError when the disk fails, Unavailable
    NOT_READY when `stop` is set meanwhile; everything is then searched as before.
    """

    def __init__(
        self,
        directory: Path,
        dim: int,
        segments: SegmentSet,
        profile: Profile,
        codebook: Codebook | None,
        codebooks: SharedCodebooks,
        limits: BuildLimits,
        adopt: Callable[[str], None],
        timings: Timings = NOT_TIMED,
    ) -> None:
        self._directory = directory
        self._segments = segments
        self._profile = profile
        self._kind = codebook_kind(profile, dim)
        self._codebook = codebook if codebook and codebook.kind == self._kind else None
        self._codebooks = codebooks
        self._limits = limits
        self._adopt = adopt
        self._timings = timings
        self._log = logger("building").bind(partition=directory.name)
        # Held while files of segments come and go, so that a snapshot can link them all.
        self.files = threading.Lock()
        self.train_limit = max(limits.min_train_patches, MIN_TRAINING_ROWS)
        if profile.rotation is not None and profile.rotation.kind == "opq-iterative":
            # FAISS ends the process when it iterates over fewer rows than dimensions.
            self.train_limit = max(self.train_limit, 2 * dim)
        self.activity = ""

    @property
    def codebook(self) -> Codebook | None:
        """What the next segment is built with; None before one is trained or taken."""
        return self._codebook

    def adopt_codebook(self, codebook: Codebook) -> None:
        """Builds with `codebook` from now on, unless there is one already or it is of another kind.

        While nothing is built, because there is nothing yet.
        """
        if self._codebook is None and codebook.kind == self._kind:
            self._take(codebook)

    def can_build(self, patches: int) -> bool:
        """Whether there is a codebook, or enough to train one, or no need of one."""
        if not self._kind or self._codebook is not None or patches >= self.train_limit:
            return True
        # Looked at, not taken: commits ask this, and taking waits for a commit.
        return self._codebooks.of_kind(self._kind) is not None

    def seal(self, stop: threading.Event) -> int:
        """Seals all rows that have grown; how many, 0 where there are none or too few."""
        frozen = self._segments.freeze()
        live = sum(segment.live_rows for segment in frozen)
        if live == 0:
            self._segments.replace(frozen, None)
            return 0
        if not self.can_build(live):
            return 0
        return self._rebuilt("sealing", frozen, stop)

    def due(self, *, idle: bool) -> bool:
        """Whether `merge` would do something."""
        return bool(self._due(idle=idle))

    def merge(self, stop: threading.Event, *, idle: bool) -> int:
        """Rebuilds the sealed segments that the plan names next; how many became one."""
        chosen = self._due(idle=idle)
        if chosen:
            self._rebuilt("merging", chosen, stop)
        return len(chosen)

    def compact(self, stop: threading.Event) -> tuple[int, int]:
        """Makes one segment without dead rows of all sealed ones and of what has grown.

        Returns the dead rows that are gone and the sealed segments that became one; (0, 0) where
        there is nothing to do, or too little to train a codebook that is missing.
        """
        sealed, frozen = self._segments.sealed, self._segments.freeze()
        grown = sum(segment.live_rows for segment in frozen)
        dead = sum(segment.rows - segment.live_rows for segment in sealed)
        if not grown:
            self._segments.replace(frozen, None)
            frozen = []
            if not sealed or (len(sealed) == 1 and not dead and self._is_current(sealed[0])):
                return 0, 0
        live = grown + sum(segment.live_rows for segment in sealed)
        if live and not self.can_build(live):
            return 0, 0
        self._rebuilt("compacting", [*sealed, *frozen], stop)
        return dead, len(sealed)

    def _due(self, *, idle: bool) -> list[SealedSegment]:
        sealed = self._segments.sealed
        sizes = [SegmentSize(segment.rows, segment.live_rows) for segment in sealed]
        limits = self._limits
        places = to_rebuild(
            sizes, small_rows=limits.small_rows, max_rows=limits.max_rows, idle=idle
        )
        chosen = [sealed[place] for place in places]
        live = sum(segment.live_rows for segment in chosen)
        # A profile of another kind may have come before there is enough for its codebook.
        return chosen if not live or self.can_build(live) else []

    def _is_current(self, segment: SealedSegment) -> bool:
        return segment.profile.name == self._profile.name

    def _rebuilt(
        self,
        what: str,
        sources: Sequence[GrowingSegment | SealedSegment],
        stop: threading.Event,
    ) -> int:
        views = self._segments.views(sources)
        old = [source for source in sources if isinstance(source, SealedSegment)]
        sealed, patches = None, sum(view.selection.count for view in views)
        started = time.perf_counter()
        self._timings.build_began()
        try:
            if patches:
                rows = LiveRows(views)
                _check_wanted(stop)
                codebook = self._trained(rows) if self._kind else None
                _check_wanted(stop)
                self._log.info(what, patches=patches, segments=len(sources))
                sealed = self._built(what, rows, codebook, old, stop)
            sys.audit("patchsearch.shard", "before-swap", self._directory.name)
            with self.files:
                self._segments.replace(sources, sealed)
                sys.audit("patchsearch.shard", "after-swap", self._directory.name)
                for segment in old:
                    # Searches that still use them have them mapped; what stays is removed when
                    # the partition is opened.
                    with suppress(OSError):
                        remove_directory(segment.directory)
                if old:
                    sync_path(self._directory / SEGMENTS)
        finally:
            self.activity = ""
            self._timings.built(what, time.perf_counter() - started)
        if sealed is not None:
            self._log.info("sealed", patches=patches, segment=sealed.directory.name)
        return patches

    def _trained(self, rows: LiveRows) -> Codebook:
        if self._codebook is not None:
            return self._codebook
        shared = self._codebooks.of_kind(self._kind)
        if shared is not None:
            return self._take(shared)
        sample = rows.training_sample()
        self.activity = f"training the codebook on {len(sample)} patches"
        use_threads(self._limits.threads)
        return self._take(self._codebooks.add(train_codebook(sample, self._profile)))

    def _take(self, codebook: Codebook) -> Codebook:
        save_codebook(codebook, self._directory / CODEBOOKS)
        self._adopt(codebook.codebook_id)
        self._codebook = codebook
        return codebook

    def _built(
        self,
        what: str,
        rows: LiveRows,
        codebook: Codebook | None,
        old: Sequence[SealedSegment],
        stop: threading.Event,
    ) -> SealedSegment:
        def progress(share: float) -> None:
            self.activity = f"{what} {len(rows)} patches: {share:.0%}"
            if old:
                sys.audit("patchsearch.shard", "mid-compaction", self._directory.name)

        progress(0.0)
        first = int(rows.first_sequences[0])
        target = self._directory / SEGMENTS / f"{first:016x}-{uuid.uuid4().hex[:8]}"
        build_segment(
            target,
            rows,
            self._profile,
            codebook,
            threads=self._limits.threads,
            stop=stop,
            progress=progress,
            replaces=[segment.directory.name for segment in old],
        )
        try:
            # Read back as every start will read it: what serves is what is on the disk.
            return SealedSegment(target, self._codebooks)
        except ManifestError as error:
            raise OSError(f"the new segment does not read back: {error}") from error


def _check_wanted(stop: threading.Event) -> None:
    if stop.is_set():
        raise Unavailable("NOT_READY", "the build was given up; the patches are searched as before")
