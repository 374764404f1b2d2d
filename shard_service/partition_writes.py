"""The writes of a partition: checked, committed together, and then searchable at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence

import numpy as np

from service_runtime.logs import logger
from shard_service import validation
from shard_service.fence import Fence
from shard_service.partition_health import PartitionHealth
from shard_service.replication.digests import PartitionDigests
from shard_service.segments.segment_set import SegmentSet
from shard_service.store.failures import UndurableCommit
from shard_service.store.group_commit import GroupCommit
from shard_service.store.images import (
    AdoptCodebook,
    DeleteImage,
    ForgetDeletion,
    Image,
    Operation,
    Outcome,
    PatchRows,
    PutImage,
    RebuildFilters,
    RecordState,
)
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import encode_patches

Mirror = Callable[[Sequence[Operation]], None]
"""Takes what was written here, before that is acknowledged; raises where it cannot."""


class PartitionWrites:
    """Takes writes of any thread and commits them on one. Thread-safe.

    `committed` is called after each commit, and told whether it displaced images. What is durable
    is never reported as failed: should it not become searchable, the partition refuses searches
    and further writes until it is opened again. Writes that act on a placement pass `fence`;
    `digests` follow the store.
    """

    def __init__(
        self,
        store: PatchStore,
        segments: SegmentSet,
        health: PartitionHealth,
        digests: PartitionDigests,
        fence: Fence,
        committed: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._segments = segments
        self._health = health
        self._digests = digests
        self._fence = fence
        self._committed = committed
        self._mirror: Mirror | None = None
        self._name = store.identity.partition_id
        self._writer: GroupCommit[Operation, Outcome] = GroupCommit(self._name, self._commit)

    def put(self, writes: Sequence[tuple[Image, PatchRows]], epoch: int = 0) -> Sequence[Outcome]:
        """See `Partition.put`; the vectors' encoder is checked already."""
        operations = [self._prepared(image, patches) for image, patches in writes]
        return self.take(operations, epoch)

    def delete(self, image_ids: Sequence[str], version: int, epoch: int = 0) -> Sequence[Outcome]:
        """See `Partition.delete`."""
        keys = [validation.image_key(image_id) for image_id in image_ids]
        for key in keys:
            self._check_placed(key)
        return self.take([DeleteImage(key, version) for key in keys], epoch)

    def put_stored(
        self,
        images: Sequence[tuple[Image, PatchRows]],
        deletions: Sequence[DeleteImage],
        mends: Collection[bytes],
    ) -> Sequence[Outcome]:
        """Writes what another replica has stored, and so has checked; its records become the same.

        Those that `mends` names replace what is stored here of the same version.
        """
        puts = [
            self._prepared(image, patches, stored=True, mends=image.image_id in mends)
            for image, patches in images
        ]
        for deletion in deletions:
            self._check_placed(deletion.image_id)
        return self.take([*puts, *deletions])

    def take(self, operations: Sequence[Operation], epoch: int = 0) -> Sequence[Outcome]:
        """Commits operations on images that are checked already, here and in the mirror."""
        if not operations:
            return []
        with self._fence.writing(epoch):
            outcomes = self._writer.submit(operations)
            if self._mirror is not None:
                self._mirror(operations)
        return outcomes

    def mirror(self, mirror: Mirror | None) -> None:
        """Sends every write to `mirror`, too, from now on: those under way have ended by then."""
        with self._fence.no_writes():
            self._mirror = mirror

    def forget(self, deletions: Sequence[ForgetDeletion]) -> int:
        """Removes tombstones; how many there were."""
        outcomes = self._writer.submit(deletions) if deletions else []
        return sum(outcome.applied for outcome in outcomes)

    def adopt_codebook(self, codebook_id: str) -> None:
        """Notes the codebook that later segments are built with."""
        self._writer.submit([AdoptCodebook(codebook_id)])

    def mend_filters(self) -> None:
        """Makes the filter index anew."""
        self._writer.submit([RebuildFilters()])

    def close(self) -> None:
        """Commits what was submitted and refuses more."""
        self._writer.close()

    def _prepared(
        self, image: Image, patches: PatchRows, *, stored: bool = False, mends: bool = False
    ) -> PutImage:
        validation.check_image(image)
        self._check_placed(image.image_id)
        validation.check_patches(image, patches)
        if len(patches):
            check = validation.check_stored_vectors if stored else validation.check_vectors
            check(patches.vectors, self._store.identity.dim, "patch vector")
        halved = patches.vectors.astype(np.float16)
        rows = PatchRows(patches.boxes, patches.levels, patches.scores, halved)
        return PutImage(image, rows, encode_patches(image.image_id, rows), mends)

    def _check_placed(self, key: bytes) -> None:
        mine = self._store.identity
        validation.check_placed(key, mine.partition_id, mine.hash_start, mine.hash_end)

    def _commit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        self._health.check()
        try:
            outcomes = self._store.commit(operations)
        except UndurableCommit as undurable:
            # Reads of the store see it, so searches have to, and digests.
            self._publish(operations, undurable.outcomes)
            raise
        self._publish(operations, outcomes)
        return outcomes

    def _publish(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """Makes a commit visible; raises nothing."""
        try:
            self._digests.changed(_changes(operations, outcomes))
            for key in _mended(operations, outcomes):
                self._digests.recount(key, self._store.states_between)
            self._segments.apply(operations, outcomes, self._store.commits)
        except Exception as error:
            self._health.fail(error)
        try:
            sys.audit("patchsearch.shard", "after-publish", self._name)
            written = _written(operations, outcomes)
            self._health.mended(written)
            self._digests.put_back(written)
            self._committed(any(outcome.displaced for outcome in outcomes))
        except Exception as error:
            logger("partition").error(
                "what follows a commit failed", partition=self._name, exc_info=error
            )


def _changes(
    operations: Sequence[Operation], outcomes: Sequence[Outcome]
) -> list[tuple[bytes, RecordState | None, RecordState | None]]:
    """What the store said of each image that was changed, and what it says now."""
    changes = []
    for operation, outcome in zip(operations, outcomes, strict=True):
        if not outcome.applied:
            continue
        if isinstance(operation, PutImage):
            changes.append((operation.image.image_id, outcome.before, outcome.after))
        elif isinstance(operation, (DeleteImage, ForgetDeletion)):
            changes.append((operation.image_id, outcome.before, outcome.after))
    return changes


def _mended(operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> list[bytes]:
    """The images whose records were damaged until now."""
    return [
        operation.image.image_id if isinstance(operation, PutImage) else operation.image_id
        for operation, outcome in zip(operations, outcomes, strict=True)
        if outcome.mended and isinstance(operation, (PutImage, DeleteImage))
    ]


def _written(operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> list[bytes]:
    """The images that are no longer what they were."""
    keys = []
    for operation, outcome in zip(operations, outcomes, strict=True):
        if isinstance(operation, PutImage) and outcome.applied:
            keys.append(operation.image.image_id)
        elif isinstance(operation, DeleteImage) and outcome.applied:
            keys.append(operation.image_id)
    return keys
