"""A partition: the patch store, the segments derived from it, and what keeps the two together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchsearch.errors import FailedPrecondition
from shard_service import validation
from shard_service.answers import PartitionAnswer, PartitionState, resolved_hits
from shard_service.index.profiles import DEFAULT_PROFILE, PROFILES
from shard_service.maintenance.sealer import Sealer
from shard_service.maintenance.sealing import Sealing
from shard_service.partition_files import LMDB, open_codebook, recover_segments
from shard_service.search.segment_search import PartitionQuery, search_segments
from shard_service.segments.segment_set import SegmentSet
from shard_service.store.group_commit import GroupCommit
from shard_service.store.images import (
    AdoptCodebook,
    DeleteImage,
    Image,
    Operation,
    Outcome,
    PatchRows,
    PutImage,
    StoredImage,
)
from shard_service.store.meta import Identity
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import encode_patches

# A hit's image can be replaced between the snapshot and the reading of its record.
_ATTEMPTS = 8
_NEWER_S = 0.2


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """How a partition works; `map_bytes` is only LMDB's first map size, which grows as needed."""

    seal_patches: int = 50_000
    min_train_patches: int = 10_000
    build_threads: int = 1
    map_bytes: int = 1 << 30
    profile: str = DEFAULT_PROFILE


def no_checkpoint() -> None:
    """For searches without a deadline."""


class Partition:
    """An open partition directory. Thread-safe; all calls may run side by side.

    Opening needs no hand after any kind of end: what was acknowledged is there, what was not is
    there whole or not at all, and derived files that are unfinished or damaged are replaced.
    `slots` bounds how many partitions of a process seal at a time. Raises DataLoss STORE_CORRUPT
    when the store itself cannot be read.
    """

    def __init__(
        self, directory: Path, options: PartitionOptions, slots: threading.Semaphore | None = None
    ) -> None:
        self._options = options
        self._profile = PROFILES[options.profile]
        self._store = PatchStore(directory / LMDB, options.map_bytes)
        self.identity: Identity = self._store.identity
        recovered = recover_segments(directory, self._store)
        self._damaged_images = recovered.damaged_images
        self._segments = SegmentSet(
            self.identity.dim, recovered.sealed, recovered.growing, recovered.images
        )
        self._sealing = Sealing(
            directory,
            self._segments,
            self._profile,
            open_codebook(directory, self._store.codebook_id()),
            min_train_patches=options.min_train_patches,
            threads=options.build_threads,
            adopt=lambda codebook_id: self._adopt(codebook_id),
        )
        name = self.identity.partition_id
        self._sealer = Sealer(name, self._sealing.seal, slots or threading.Semaphore(1))
        self._writer: GroupCommit[Operation, Outcome] = GroupCommit(name, self._commit)
        self._seal_when_due(1 if recovered.failed_segments else options.seal_patches)

    def put(self, writes: Sequence[tuple[Image, PatchRows]], fingerprint: str) -> list[bool]:
        """Writes images whole; returns, once all are durable and searchable, which were applied.

        An image whose stored version is the same or newer is left as it is. Vectors are (n, dim)
        float32 unit rows and are stored as float16. Raises InvalidArgument IMAGE_ID_INVALID,
        PATCHES_INVALID, VECTOR_INVALID or HASH_OUT_OF_RANGE, or FailedPrecondition
        ENCODER_MISMATCH, and has written nothing then; ResourceExhausted DISK_FULL or OVERLOADED;
        Unavailable NOT_READY, STORE_FAILED or STORE_READ_ONLY.
        """
        if any(len(patches) for _, patches in writes):
            self.check_fingerprint(fingerprint)
        operations = [self._prepared(image, patches) for image, patches in writes]
        return [outcome.applied for outcome in self._writer.submit(operations)]

    def delete(self, image_ids: Sequence[str], version: int) -> list[bool]:
        """Deletes by tombstone; returns, once that is durable, which images were there.

        Raises InvalidArgument IMAGE_ID_INVALID or HASH_OUT_OF_RANGE, and what `put` raises for
        the disk.
        """
        keys = [validation.image_key(image_id) for image_id in image_ids]
        for key in keys:
            self._check_placed(key)
        outcomes = self._writer.submit([DeleteImage(key, version) for key in keys])
        return [outcome.displaced is not None for outcome in outcomes]

    def search(
        self,
        query: PartitionQuery,
        fingerprint: str,
        checkpoint: Callable[[], None] = no_checkpoint,
    ) -> PartitionAnswer:
        """The best `query.k` patches, scored exactly; sees every write acknowledged before it.

        `checkpoint` is called now and then and may raise to give up. Raises FailedPrecondition
        ENCODER_MISMATCH, InvalidArgument VECTOR_INVALID or K_OUT_OF_RANGE.
        """
        self.check_fingerprint(fingerprint)
        validation.check_k(query.k)
        validation.check_vectors(query.vector[None, :], self.identity.dim, "query vector")
        attempt = 1
        while True:
            snapshot = self._segments.snapshot
            ranking = search_segments(snapshot.segments, query, checkpoint)
            hits = resolved_hits(snapshot, ranking, self._store)
            if len(hits) == len(ranking.rows) or attempt == _ATTEMPTS:
                return PartitionAnswer(hits, snapshot.patches, ranking.candidates_read)
            attempt += 1
            self._segments.wait_newer(snapshot.number, _NEWER_S)

    def get_images(self, image_ids: Sequence[str], *, with_patches: bool) -> list[StoredImage]:
        """The images that are stored, in the order asked for; InvalidArgument IMAGE_ID_INVALID."""
        keys = [validation.image_key(image_id) for image_id in image_ids]
        found = self._store.read_images(keys, with_patches=with_patches)
        return [image for image in found if image is not None]

    def list_images(self, after: str, prefix: str, page_size: int) -> list[StoredImage]:
        """At most `page_size` images without patches, by the bytes of their ids.

        Only ids behind `after` that begin with `prefix`; fewer than `page_size` only at the end.
        """
        return self._store.list_images(after.encode("utf-8"), prefix.encode("utf-8"), page_size)

    def describe(self) -> PartitionState:
        """The state as of now."""
        snapshot = self._segments.snapshot
        return PartitionState(
            identity=self.identity,
            images=snapshot.images,
            patches=snapshot.patches,
            growing_patches=snapshot.growing_patches,
            sealed_segments=snapshot.sealed_segments,
            profile=self._profile.name if snapshot.sealed_segments else "exact",
            activity="; ".join(self._activities()),
        )

    def seal(self) -> int:
        """Seals what has grown, whatever its size, and waits; returns the patches sealed.

        Raises FailedPrecondition PARTITION_TOO_SMALL when there is no codebook and too little to
        train one; what the disk raised when building failed.
        """
        growing = self._segments.snapshot.growing_patches
        if growing and not self._sealing.can_seal(growing):
            raise FailedPrecondition(
                "PARTITION_TOO_SMALL",
                f"partition {self.identity.partition_id} has {growing} growing patches; training "
                f"the codebook needs {self._sealing.train_limit}: it is searched exactly, and "
                "nothing is to be done",
            )
        return self._sealer.seal_now()

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises FailedPrecondition ENCODER_MISMATCH for another encoder's vectors."""
        mine = self.identity
        if fingerprint != mine.fingerprint:
            raise FailedPrecondition(
                "ENCODER_MISMATCH",
                f"the vectors come from the encoder with fingerprint {fingerprint or '(none)'}; "
                f"partition {mine.partition_id} holds vectors of {mine.encoder} "
                f"({mine.fingerprint}): use that encoder",
                metadata={"expected": mine.fingerprint, "given": fingerprint},
            )

    def close(self) -> None:
        """Finishes waiting writes, gives up a running build, and closes the store."""
        self._sealer.stop.set()
        self._writer.close()
        self._sealer.close()
        self._store.close()

    def _prepared(self, image: Image, patches: PatchRows) -> PutImage:
        validation.check_image(image)
        self._check_placed(image.image_id)
        validation.check_patches(image, patches)
        if len(patches):
            validation.check_vectors(patches.vectors, self.identity.dim, "patch vector")
        halved = patches.vectors.astype(np.float16)
        stored = PatchRows(patches.boxes, patches.levels, patches.scores, halved)
        return PutImage(image, stored, encode_patches(image.image_id, stored))

    def _check_placed(self, key: bytes) -> None:
        mine = self.identity
        validation.check_placed(key, mine.partition_id, mine.hash_start, mine.hash_end)

    def _commit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        outcomes = self._store.commit(operations)
        self._segments.apply(operations, outcomes)
        self._seal_when_due(self._options.seal_patches)
        return outcomes

    def _adopt(self, codebook_id: str) -> None:
        self._writer.submit([AdoptCodebook(codebook_id)])

    def _seal_when_due(self, limit: int) -> None:
        growing = self._segments.snapshot.growing_patches
        if growing >= limit and self._sealing.can_seal(growing):
            self._sealer.request()

    def _activities(self) -> list[str]:
        told = [self._sealing.activity] if self._sealing.activity else []
        if self._sealer.failure is not None:
            told.append(f"sealing failed and is tried again: {self._sealer.failure}")
        if self._damaged_images:
            told.append(
                f"{self._damaged_images} damaged images are not searched: ingest them again"
            )
        return told
