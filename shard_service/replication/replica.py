"""A partition as other replicas of it see it: digests, versions, images as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from patchsearch.errors import DataLoss, InvalidArgument
from shard_service.checkpoint import Checkpoint, no_checkpoint
from shard_service.partition_health import PartitionHealth
from shard_service.partition_writes import Mirror, PartitionWrites
from shard_service.replication.digests import (
    MAX_PARTS,
    Cut,
    PartitionDigests,
    RangeDigest,
    Totals,
    hash_of,
    record_digest,
)
from shard_service.store.images import (
    DeleteImage,
    ForgetDeletion,
    Image,
    Operation,
    Outcome,
    PatchRows,
    RecordState,
    empty_patches,
)
from shard_service.store.meta import Identity
from shard_service.store.patch_store import PatchStore
from shard_service.store.stored_images import MAX_KEY_BYTES

SCAN_KEYS = 4096
"""Keys that one read transaction looks at: no page is pinned for long."""


class ReplicaSource(Protocol):
    """Where a replica takes what it lacks from: another one, here or on another shard.

    Everything may raise Unavailable SOURCE_FAILED.
    """

    def digests(self, hash_start: int, hash_end: int, parts: int) -> Sequence[RangeDigest]:
        """The digests of the parts of a range."""
        ...

    def versions(
        self, hash_start: int, hash_end: int, after: bytes, count: int
    ) -> Sequence[tuple[bytes, RecordState]]:
        """At most `count` images of a range, deleted ones too, in key order behind `after`; fewer
        only at the end."""
        ...

    def images(self, keys: Sequence[bytes]) -> Sequence[tuple[Image, PatchRows]]:
        """Those of `keys` that are stored whole, with their float16 vectors."""
        ...


class Replica:
    """What a partition gives to other replicas and takes from them; a `ReplicaSource` itself.
    Thread-safe."""

    def __init__(
        self,
        store: PatchStore,
        digests: PartitionDigests,
        health: PartitionHealth,
        writes: PartitionWrites,
    ) -> None:
        self._store = store
        self._digests = digests
        self._health = health
        self._writes = writes
        self.identity: Identity = store.identity

    def totals(self) -> Totals:
        """Of everything that is stored, images that are known to be damaged left out."""
        self._leave_out_damaged()
        return self._digests.totals()

    @property
    def newest_version(self) -> int:
        """The highest version of anything that was stored since the partition was opened, and of
        what was there then."""
        return self._digests.newest_version

    def digests(
        self,
        hash_start: int,
        hash_end: int,
        parts: int,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> Sequence[RangeDigest]:
        """The digests of `parts` (1 to 4096) parts of equal width of a range.

        Costs next to nothing where they consist of the buckets that are kept, else one look at
        every record. Raises InvalidArgument HASH_OUT_OF_RANGE or BATCH_OUT_OF_RANGE.
        """
        self._check_range(hash_start, hash_end)
        if not 1 <= parts <= MAX_PARTS:
            raise InvalidArgument(
                "BATCH_OUT_OF_RANGE", f"{parts} parts were asked for; ask for 1 to {MAX_PARTS}"
            )
        self._leave_out_damaged()
        known = self._digests.ranges(hash_start, hash_end, parts)
        if known is not None:
            return known

        def records() -> Iterator[tuple[int, int]]:
            after: bytes | None = b""
            while after is not None:
                checkpoint()
                found, after = self._scan(hash_start, hash_end, after)
                for key, state in found:
                    yield hash_of(key), record_digest(key, state)

        return Cut(hash_start, hash_end, parts).digests(records())

    def versions(
        self,
        hash_start: int,
        hash_end: int,
        after: bytes,
        count: int,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> Sequence[tuple[bytes, RecordState]]:
        """See `ReplicaSource`; images whose records are damaged are left out.

        Looks at the id of every image, in short transactions: as of many moments.
        """
        self._check_range(hash_start, hash_end)
        page: list[tuple[bytes, RecordState]] = []
        at: bytes | None = after
        while at is not None and len(page) < count:
            checkpoint()
            found, at = self._scan(hash_start, hash_end, at)
            page += found
        return page[:count]

    def images(self, keys: Sequence[bytes]) -> Sequence[tuple[Image, PatchRows]]:
        """See `ReplicaSource`."""
        damaged = self.damaged()
        found = self._store.read_images(
            [key for key in keys if key not in damaged],
            with_patches=True,
            on_damage=self._health.note_loss,
        )
        dim = self.identity.dim
        return [(one.image, one.patches or empty_patches(dim)) for one in found if one is not None]

    def states(self, keys: Sequence[bytes]) -> Sequence[RecordState | None]:
        """What is stored of each image; None for none, and for a damaged record."""
        return self._store.states(keys)

    def damaged(self) -> Collection[bytes]:
        """The images that are known to be damaged or lost here."""
        return self._health.damaged_keys()

    def apply(
        self,
        images: Sequence[tuple[Image, PatchRows]],
        deletions: Sequence[DeleteImage],
        mends: Collection[bytes] = (),
    ) -> Sequence[Outcome]:
        """Takes what another replica has, where it is newer; durable on return.

        Those that `mends` names are taken of the same version, too. Raises what `Partition.put`
        raises. One outcome for each of `images`, then for each of `deletions`.
        """
        return self._writes.put_stored(images, deletions, mends)

    def take(self, operations: Sequence[Operation]) -> None:
        """Applies what was written to another partition, there checked and prepared."""
        self._writes.take(operations)

    def mirror(self, mirror: Mirror | None) -> None:
        """Sends every write to `mirror` as well, before it is acknowledged; None ends that."""
        self._writes.mirror(mirror)

    def forget(self, older_than: int, checkpoint: Checkpoint, batch: int = 256) -> int:
        """Forgets deletions of versions below `older_than`, a few at a time; how many."""
        forgotten = 0
        after: bytes | None = b""
        while after is not None:
            checkpoint()
            found, after = self._store.scan_states(after, SCAN_KEYS, _any, _told_elsewhere)
            old = [
                ForgetDeletion(key, state.version)
                for key, state in found
                if state.deleted and state.version < older_than
            ]
            for at in range(0, len(old), batch):
                checkpoint()
                forgotten += self._writes.forget(old[at : at + batch])
        return forgotten

    def _leave_out_damaged(self) -> None:
        noted = [key for key in self._health.take_noted() if 0 < len(key) <= MAX_KEY_BYTES]
        if not noted:
            return
        known, states = self._store.have_records(noted), self._store.states(noted)
        for key, is_there, state in zip(noted, known, states, strict=True):
            # What is lost without a record is in no digest.
            if is_there:
                self._digests.leave_out(key, state)
        # Those that were written again in between; later ones are put back by whoever writes them.
        self._digests.put_back(set(noted) - self._health.damaged_keys())

    def _scan(
        self, hash_start: int, hash_end: int, after: bytes
    ) -> tuple[list[tuple[bytes, RecordState]], bytes | None]:
        mine = self.identity
        wanted: Callable[[bytes], bool] = _any
        if (hash_start, hash_end) != (mine.hash_start, mine.hash_end):

            def wanted(key: bytes) -> bool:
                return hash_start <= hash_of(key) <= hash_end

        return self._store.scan_states(after, SCAN_KEYS, wanted, self._note_damage)

    def _note_damage(self, loss: DataLoss) -> None:
        self._health.note_loss(loss)

    def _check_range(self, hash_start: int, hash_end: int) -> None:
        mine = self.identity
        if not mine.hash_start <= hash_start <= hash_end <= mine.hash_end:
            raise InvalidArgument(
                "HASH_OUT_OF_RANGE",
                f"hashes {hash_start:016x} to {hash_end:016x} were asked for; partition "
                f"{mine.partition_id} holds {mine.hash_start:016x} to {mine.hash_end:016x}",
            )


def _any(key: bytes) -> bool:
    return True


def _told_elsewhere(loss: DataLoss) -> None:
    """Damage is found and told when records are read for their own sake."""
