"""The writes of a partition: checked, committed together, and then searchable at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

from service_runtime.logs import logger
from shard_service import validation
from shard_service.partition_health import PartitionHealth
from shard_service.segments.segment_set import SegmentSet
from shard_service.store.failures import UndurableCommit
from shard_service.store.group_commit import GroupCommit
from shard_service.store.images import (
    AdoptCodebook,
    DeleteImage,
    Image,
    Operation,
    Outcome,
    PatchRows,
    PutImage,
    RebuildFilters,
)
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import encode_patches


class PartitionWrites:
    """Takes writes of any thread and commits them on one. Thread-safe.

    `committed` is called after each commit, and told whether it displaced images. What is durable
    is never reported as failed: should it not become searchable, the partition refuses searches
    and further writes until it is opened again.
    """

    def __init__(
        self,
        store: PatchStore,
        segments: SegmentSet,
        health: PartitionHealth,
        committed: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._segments = segments
        self._health = health
        self._committed = committed
        self._name = store.identity.partition_id
        self._writer: GroupCommit[Operation, Outcome] = GroupCommit(self._name, self._commit)

    def put(self, writes: Sequence[tuple[Image, PatchRows]]) -> list[bool]:
        """See `Partition.put`; the vectors' encoder is checked already."""
        operations = [self._prepared(image, patches) for image, patches in writes]
        return [outcome.applied for outcome in self._writer.submit(operations)]

    def delete(self, image_ids: Sequence[str], version: int) -> list[bool]:
        """See `Partition.delete`."""
        keys = [validation.image_key(image_id) for image_id in image_ids]
        for key in keys:
            self._check_placed(key)
        outcomes = self._writer.submit([DeleteImage(key, version) for key in keys])
        return [outcome.displaced is not None for outcome in outcomes]

    def adopt_codebook(self, codebook_id: str) -> None:
        """Notes the codebook that later segments are built with."""
        self._writer.submit([AdoptCodebook(codebook_id)])

    def mend_filters(self) -> None:
        """Makes the filter index anew."""
        self._writer.submit([RebuildFilters()])

    def close(self) -> None:
        """Commits what was submitted and refuses more."""
        self._writer.close()

    def _prepared(self, image: Image, patches: PatchRows) -> PutImage:
        validation.check_image(image)
        self._check_placed(image.image_id)
        validation.check_patches(image, patches)
        if len(patches):
            validation.check_vectors(patches.vectors, self._store.identity.dim, "patch vector")
        halved = patches.vectors.astype(np.float16)
        stored = PatchRows(patches.boxes, patches.levels, patches.scores, halved)
        return PutImage(image, stored, encode_patches(image.image_id, stored))

    def _check_placed(self, key: bytes) -> None:
        mine = self._store.identity
        validation.check_placed(key, mine.partition_id, mine.hash_start, mine.hash_end)

    def _commit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        self._health.check()
        try:
            outcomes = self._store.commit(operations)
        except UndurableCommit as undurable:
            # Reads of the store see it, so searches have to.
            self._publish(operations, undurable.outcomes)
            raise
        self._publish(operations, outcomes)
        return outcomes

    def _publish(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """Makes a commit visible; raises nothing."""
        try:
            self._segments.apply(operations, outcomes, self._store.commits)
        except Exception as error:
            self._health.fail(error)
        try:
            sys.audit("patchsearch.shard", "after-publish", self._name)
            self._health.mended(_written(operations, outcomes))
            self._committed(any(outcome.displaced for outcome in outcomes))
        except Exception as error:
            logger("partition").error(
                "what follows a commit failed", partition=self._name, exc_info=error
            )


def _written(operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> list[bytes]:
    """The images that are no longer what they were."""
    keys = []
    for operation, outcome in zip(operations, outcomes, strict=True):
        if isinstance(operation, PutImage) and outcome.applied:
            keys.append(operation.image.image_id)
        elif isinstance(operation, DeleteImage) and outcome.applied:
            keys.append(operation.image_id)
    return keys
