"""A partition: the patch store, the segments derived from it, and what keeps the two together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from patchsearch.errors import DataLoss, FailedPrecondition
from shard_service import validation
from shard_service.answers import PartitionAnswer, PartitionState
from shard_service.calls_under_way import CallsUnderWay
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.fence import Fence
from shard_service.index.codebook import SharedCodebooks
from shard_service.index.profiles import PROFILES
from shard_service.maintenance.building import Building
from shard_service.maintenance.recall import Observe, RecallChecks
from shard_service.maintenance.scrubbing import (
    Damage,
    ScrubReport,
    check_filters,
    check_records,
    check_segments,
)
from shard_service.maintenance.upkeep import Upkeep
from shard_service.options import PartitionOptions
from shard_service.partition_files import bytes_below
from shard_service.partition_health import PartitionHealth
from shard_service.partition_opening import open_partition
from shard_service.partition_writes import PartitionWrites
from shard_service.replication.replica import Replica
from shard_service.search.partition_search import PartitionSearch
from shard_service.search.query import PartitionQuery
from shard_service.segments.segment_set import SegmentSet
from shard_service.snapshots.taking import SnapshotReport, take_snapshot
from shard_service.store.images import Image, Outcome, PatchRows, StoredImage
from shard_service.store.meta import Identity
from shard_service.timings import NOT_TIMED, Timings


def not_observed(profile: str, found: int, expected: int) -> None:
    """For partitions whose recall nobody watches."""


class Partition:
    """An open partition directory. Thread-safe; all calls may run side by side.

    Opening needs no hand after any kind of end: what was acknowledged is there, what was not is
    there whole or not at all, and derived files that are unfinished or damaged are replaced.
    `slots` bounds how many partitions of a process build at a time, `codebooks` are shared with
    them, `observe` is told of measured recall, `partition_id` is the one that the directory must
    hold, where that is known. Raises DataLoss STORE_CORRUPT when nothing of the store can be read,
    or nothing that is sure to be current; FailedPrecondition PARTITION_MISPLACED when it is the
    directory of another partition.
    """

    def __init__(
        self,
        directory: Path,
        options: PartitionOptions,
        slots: threading.Semaphore | None = None,
        codebooks: SharedCodebooks | None = None,
        observe: Observe = not_observed,
        partition_id: str = "",
        timings: Timings = NOT_TIMED,
    ) -> None:
        self._directory = directory
        codebooks = codebooks or SharedCodebooks()
        opened = open_partition(directory, options, codebooks, partition_id, timings.committed)
        self._store, recovered = opened.store, opened.recovered
        self.identity: Identity = self._store.identity
        name = self.identity.partition_id
        self.fence = Fence(directory, name)
        self._searches = CallsUnderWay()
        self._health = PartitionHealth(name, opened.damages)
        self._segments = SegmentSet(
            self.identity.dim,
            recovered.sealed,
            recovered.growing,
            recovered.images,
            self._store.commits,
        )
        self._building = Building(
            directory,
            self.identity.dim,
            self._segments,
            PROFILES[options.profile],
            opened.codebook,
            codebooks,
            options.build_limits(),
            adopt=lambda codebook_id: self._writes.adopt_codebook(codebook_id),
            timings=timings,
        )
        self._recall = RecallChecks(name, options.recall_share, observe)
        self._upkeep = Upkeep(
            name,
            self._segments,
            self._building,
            self._health,
            slots or threading.Semaphore(1),
            seal_patches=options.seal_patches,
            idle_s=options.idle_s,
        )
        self._writes = PartitionWrites(
            self._store,
            self._segments,
            self._health,
            opened.digests,
            self.fence,
            self._upkeep.committed,
        )
        self.replica = Replica(self._store, opened.digests, self._health, self._writes)
        self._search = PartitionSearch(
            self._store, self._segments, self._writes.mend_filters, self._recall.searched
        )
        self._upkeep.start(rows_came_back=bool(recovered.failed_segments))

    def put(self, writes: Sequence[tuple[Image, PatchRows]], fingerprint: str) -> list[bool]:
        """Writes as `put_images` does; which were applied."""
        return [one.applied for one in self.put_images(writes, fingerprint)]

    def put_images(
        self, writes: Sequence[tuple[Image, PatchRows]], fingerprint: str, epoch: int = 0
    ) -> Sequence[Outcome]:
        """Writes images whole; returns, once all are durable and searchable, what became of each.

        An image whose stored version is the same or newer is left as it is. Vectors are (n, dim)
        float32 unit rows and are stored as float16. `epoch` is that of the placement that the
        caller acts on; 0 is not checked. Raises InvalidArgument IMAGE_ID_INVALID, PATCHES_INVALID,
        VECTOR_INVALID or HASH_OUT_OF_RANGE, or FailedPrecondition ENCODER_MISMATCH or
        STALE_PLACEMENT, and has written nothing then; ResourceExhausted DISK_FULL or OVERLOADED;
        Unavailable NOT_READY, STORE_FAILED or STORE_READ_ONLY.
        """
        if any(len(patches) for _, patches in writes):
            self.check_fingerprint(fingerprint)
        return self._writes.put(writes, epoch)

    def delete(self, image_ids: Sequence[str], version: int) -> list[bool]:
        """Deletes as `delete_images` does; which images were there."""
        return [one.displaced is not None for one in self.delete_images(image_ids, version)]

    def delete_images(
        self, image_ids: Sequence[str], version: int, epoch: int = 0
    ) -> Sequence[Outcome]:
        """Deletes by tombstone; returns, once that is durable, what became of each image.

        Raises InvalidArgument IMAGE_ID_INVALID or HASH_OUT_OF_RANGE, and what `put_images` raises
        for the placement and the disk.
        """
        return self._writes.delete(image_ids, version, epoch)

    def search(
        self,
        query: PartitionQuery,
        fingerprint: str,
        checkpoint: Checkpoint = no_checkpoint,
        epoch: int = 0,
    ) -> PartitionAnswer:
        """The best `query.k` patches, scored exactly; sees every write acknowledged before it.

        `checkpoint` is called now and then and may raise to give up. Raises FailedPrecondition
        ENCODER_MISMATCH or STALE_PLACEMENT, InvalidArgument VECTOR_INVALID or K_OUT_OF_RANGE;
        Unavailable STORE_FAILED after a durable write that could not be made searchable, until the
        partition is reopened.
        """
        self._health.check()
        self.fence.check_read(epoch)
        self.check_fingerprint(fingerprint)
        validation.check_k(query.k)
        validation.check_query(query.vector, self.identity.dim)
        with self._searches:
            return self._search.search(query, checkpoint)

    def get_images(self, image_ids: Sequence[str], *, with_patches: bool) -> list[StoredImage]:
        """The images that are stored, in the order asked for.

        Raises InvalidArgument IMAGE_ID_INVALID, DataLoss STORE_CORRUPT when one of them is damaged.
        """
        keys = [validation.image_key(image_id) for image_id in image_ids]
        # Without its patches a damaged image may look whole, and nobody would write it again.
        self._health.check_images(image_ids)
        try:
            found = self._store.read_images(keys, with_patches=with_patches)
        except DataLoss as loss:
            self._health.note_loss(loss)
            raise
        return [image for image in found if image is not None]

    def list_images(self, after: str, prefix: str, page_size: int) -> list[StoredImage]:
        """At most `page_size` images without patches, by the bytes of their ids.

        Only ids behind `after` that begin with `prefix`; fewer than `page_size` only at the end.
        Damaged images are left out, and counted by `describe`.
        """
        return self._store.list_images(
            after.encode("utf-8"), prefix.encode("utf-8"), page_size, self._health.note_loss
        )

    def describe(self) -> PartitionState:
        """The state as of now."""
        totals, epochs = self.replica.totals(), self.fence.epochs
        told = self._health.activities(self._building.activity, self._upkeep.failure)
        snapshot = self._segments.snapshot
        profiles = {one.profile_name for one in snapshot.segments} - {"exact"}
        return PartitionState(
            identity=self.identity,
            images=snapshot.images,
            patches=snapshot.patches,
            growing_patches=snapshot.growing_patches,
            deleted_patches=snapshot.deleted_patches,
            sealed_segments=snapshot.sealed_segments,
            profile="+".join(sorted(profiles)) or "exact",
            codebook=self._store.codebook_id(),
            damaged_images=self._health.damaged_images,
            activity="; ".join([*told, self.fence.damage] if self.fence.damage else told),
            digest=totals.digest,
            tombstones=totals.tombstones,
            min_write_epoch=epochs.min_write,
            min_read_epoch=epochs.min_read,
            recall=self._recall.measured(),
            newest_version=self.replica.newest_version,
        )

    def disk_bytes(self) -> int:
        """Bytes of its files."""
        return bytes_below(self._directory)

    def seal(self, checkpoint: Checkpoint = no_checkpoint) -> int:
        """Seals what has grown, whatever its size, and waits; returns the patches sealed.

        `checkpoint` may raise to give up: what has grown is searched as before then. Raises
        FailedPrecondition PARTITION_TOO_SMALL when there is no codebook and too little to train
        one; what the disk raised when building failed.
        """
        self._health.check()
        return self._upkeep.seal(checkpoint)

    def compact(self, checkpoint: Checkpoint = no_checkpoint) -> tuple[int, int]:
        """Makes one segment without deleted rows of all sealed ones and of what has grown.

        Returns the deleted rows that are gone and the sealed segments that became one. `checkpoint`
        is as for `seal`. Raises what `seal` raises.
        """
        self._health.check()
        return self._upkeep.compact(checkpoint)

    def snapshot(self, destination: str, checkpoint: Checkpoint = no_checkpoint) -> SnapshotReport:
        """Writes a copy, consistent as of one moment during the call, to a path or an fsspec URL.

        `checkpoint` may raise to give up: nothing is left then. Raises InvalidArgument
        DESTINATION_INVALID, FailedPrecondition DESTINATION_EXISTS, ResourceExhausted DISK_FULL,
        Unavailable DESTINATION_FAILED.
        """
        with self._health.told("snapshot") as tell:
            files = self._building.files
            return take_snapshot(self._directory, self._store, files, destination, tell, checkpoint)

    def scrub(self, checkpoint: Checkpoint = no_checkpoint) -> ScrubReport:
        """Reads everything that is on the disk and compares it with its checksums.

        A damaged segment is moved aside and its rows are searched exactly until it is rebuilt, a
        damaged filter index is made anew; images with damaged records are told. `checkpoint` may
        raise to give up.
        """
        with self._health.told("scrub") as tell:
            images, patches, damaged = check_records(self._store, checkpoint, tell)
            files = self._building.files

            def work(stop: threading.Event) -> tuple[list[Damage], int, list[Damage]]:
                index = check_filters(self._store, self._writes.mend_filters, checkpoint, tell)
                found = check_segments(self._segments, self._store, files, checkpoint, tell)
                return index, *found

            index, segments, broken = self._upkeep.run(work, checkpoint)
        if broken:
            self._upkeep.rows_came_back()
        self._health.note(damaged)
        return ScrubReport(images, patches, segments, (*damaged, *index, *broken))

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

    def adopt_codebook_of(self, other: Partition) -> None:
        """Builds with the codebook of another partition, where that has one; for an empty one."""
        codebook = other._building.codebook
        if codebook is not None and not self._segments.snapshot.patches:
            self._building.adopt_codebook(codebook)

    def close(self, wait_s: float = 0.0) -> None:
        """Finishes waiting writes, gives up a running build, and closes the store.

        Waits at most `wait_s` seconds for searches to end by themselves.
        """
        self._upkeep.give_up()
        self._searches.wait_idle(wait_s)
        self._writes.close()
        self._upkeep.close()
        self._recall.close()
        self._store.close()
