"""From growing rows to a sealed segment: freeze, train once, build, check, swap."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from service_runtime.logs import logger
from shard_service.derived_files import ManifestError
from shard_service.index.codebook import MIN_TRAINING_ROWS, Codebook, save_codebook, train_codebook
from shard_service.index.faiss_index import use_threads
from shard_service.index.profiles import Profile
from shard_service.partition_files import CODEBOOKS, SEGMENTS
from shard_service.segments.build import build_segment, training_sample
from shard_service.segments.growing import GrowingView
from shard_service.segments.sealed import SealedSegment
from shard_service.segments.segment_set import SegmentSet


class Sealing:
    """Seals the growing segments of one partition.

    `adopt` notes a new codebook's id durably. `seal` must run on one thread at a time; the rest is
    thread-safe.
    """

    def __init__(
        self,
        directory: Path,
        segments: SegmentSet,
        profile: Profile,
        codebook: Codebook | None,
        *,
        min_train_patches: int,
        threads: int,
        adopt: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._segments = segments
        self._profile = profile
        self._codebook = codebook
        self._threads = threads
        self._adopt = adopt
        self._log = logger("sealing").bind(partition=directory.name)
        self.train_limit = max(min_train_patches, MIN_TRAINING_ROWS)
        self.activity = ""

    def can_seal(self, patches: int) -> bool:
        """Whether there is a codebook, or enough to train one, or no need of one."""
        needless = not self._profile.code_bytes or self._codebook is not None
        return needless or patches >= self.train_limit

    def seal(self, stop: threading.Event) -> int:
        """Seals all rows that have grown; returns how many, 0 where there are none or too few.

        Searches and writes go on. Raises OSError when the disk fails, Unavailable NOT_READY when
        `stop` is set meanwhile; the rows are then searched exactly, as before.
        """
        frozen, views = self._segments.freeze()
        rows = sum(view.live_rows for view in views)
        if rows == 0:
            self._segments.replace(frozen, None)
            return 0
        if not self.can_seal(rows):
            return 0
        try:
            codebook = self._trained(views) if self._profile.code_bytes else None
            self.activity = f"sealing {rows} patches"
            self._log.info("sealing", patches=rows, profile=self._profile.name)
            sealed = self._built(views, codebook, stop)
        finally:
            self.activity = ""
        self._segments.replace(frozen, sealed)
        self._log.info("sealed", patches=rows, segment=sealed.directory.name)
        return rows

    def _trained(self, views: list[GrowingView]) -> Codebook:
        if self._codebook is None:
            sample = training_sample(views)
            self.activity = f"training the codebook on {len(sample)} patches"
            use_threads(self._threads)
            codebook = train_codebook(sample, self._profile.code_bytes)
            save_codebook(codebook, self._directory / CODEBOOKS)
            self._adopt(codebook.codebook_id)
            self._codebook = codebook
        return self._codebook

    def _built(
        self, views: list[GrowingView], codebook: Codebook | None, stop: threading.Event
    ) -> SealedSegment:
        first = min(int(view.table.first_sequences[0]) for view in views if view.live_rows)
        target = self._directory / SEGMENTS / f"{first:016x}-{uuid.uuid4().hex[:8]}"
        build_segment(target, views, self._profile, codebook, threads=self._threads, stop=stop)
        try:
            # Read back as every start will read it: what serves is what is on the disk.
            return SealedSegment(target)
        except ManifestError as error:
            raise OSError(f"the new segment does not read back: {error}") from error
