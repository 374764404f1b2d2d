"""The truth of a partition: one LMDB environment with images, patches and what they are.

Databases: `images` (image_id -> record or tombstone) and `patches` (sequence -> record), described
in `shard_service.store.records`, and `meta`, described in `shard_service.store.meta`. Everything
else in a partition's directory is derived from this and can be rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from patchsearch.errors import DataLoss, PatchsearchError, Unavailable
from shard_service.store.failures import disk_full, free_bytes, is_disk_full, room_needed
from shard_service.store.images import Operation, Outcome, PutImage, StoredImage
from shard_service.store.meta import DATABASES, Identity, number, read_identity, text
from shard_service.store.read_gate import ReadGate
from shard_service.store.records import decode_image, decode_patches, sequence_key
from shard_service.store.writes import Databases, apply_operations

MAX_KEY_BYTES = 511
"""LMDB's limit on a key, and so on an image_id."""

_MAX_READERS = 1024
_READ_BATCH = 256
# The record of an image without texts, its key, and what LMDB adds to each.
_OPERATION_BYTES = 256

OnDamage = Callable[[DataLoss], None]


class PatchStore:
    """An open LMDB environment; one per process and directory. Thread-safe, with one writer.

    Raises while opening: DataLoss STORE_CORRUPT when LMDB cannot read it, FailedPrecondition
    FORMAT_UNKNOWN when another version of the format wrote it.
    """

    def __init__(self, path: Path, map_bytes: int) -> None:
        self._path = path
        self._map_bytes = map_bytes
        self._gate = ReadGate()
        self._refusal = ""
        self._room_wanted = 0
        self._closed = False
        self.identity: Identity = self._open()

    def commit(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Writes `operations` in one durable transaction, in order; one outcome each.

        Call it from one thread at a time. Raises ResourceExhausted DISK_FULL when there is no
        room (nothing was written, reads go on, a later call tries again), Unavailable
        STORE_READ_ONLY when the store could not be brought back after a failed commit, Unavailable
        NOT_READY after `close`.
        """
        if self._refusal:
            raise Unavailable("STORE_READ_ONLY", self._refusal)
        if self._room_wanted and free_bytes(self._path) < self._room_wanted:
            raise disk_full(self._path)
        payload = sum(_payload(operation) for operation in operations)
        while True:
            outcomes: list[Outcome] = []
            try:
                with self._gate:
                    self._transact(operations, outcomes)
                self._room_wanted = 0
                return outcomes
            except lmdb.MapFullError:
                self._grow(payload)
            except lmdb.Error as error:
                if self._reopened_with_commit(error, payload):
                    return outcomes
                if is_disk_full(error, self._path, payload):
                    self._room_wanted = room_needed(payload)
                    raise disk_full(self._path) from error
                raise Unavailable(
                    "STORE_FAILED",
                    f"a write to {self._path} failed ({error}) and was undone; look at the disk, "
                    "then write again",
                ) from error

    def read_images(
        self, keys: Sequence[bytes], *, with_patches: bool = False
    ) -> list[StoredImage | None]:
        """The images of `keys` as of one moment; None for those that are not stored.

        Raises DataLoss STORE_CORRUPT for a record that fails its checksum.
        """
        found: list[StoredImage | None] = []
        with self._reading() as txn:
            for key in keys:
                record = txn.get(key, db=self._databases.images)
                image = None if record is None else decode_image(key, record)
                if image is not None and with_patches:
                    image = self._with_patches(txn, image)
                found.append(image)
        return found

    def list_images(self, after: bytes, prefix: bytes, page_size: int) -> list[StoredImage]:
        """At most `page_size` images in key order: keys behind `after` that begin with `prefix`."""
        page: list[StoredImage] = []
        # LMDB refuses longer keys, and no stored key lies between these and the whole ones.
        start = max(after, prefix)[:MAX_KEY_BYTES]
        with self._reading() as txn, txn.cursor(db=self._databases.images) as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return page
            for key, record in cursor:
                if after and key <= after:
                    continue
                if not key.startswith(prefix):
                    break
                image = decode_image(key, record)
                if image is not None:
                    page.append(image)
                    if len(page) == page_size:
                        break
        return page

    def live_images(self, on_damage: OnDamage) -> list[StoredImage]:
        """All images without patches; those that fail their checksum go to `on_damage`."""
        images: list[StoredImage] = []
        with self._reading() as txn, txn.cursor(db=self._databases.images) as cursor:
            for key, record in cursor:
                try:
                    image = decode_image(key, record)
                except DataLoss as damage:
                    on_damage(damage)
                    continue
                if image is not None:
                    images.append(image)
        return images

    def with_patches(
        self, images: Sequence[StoredImage], on_damage: OnDamage
    ) -> Iterator[StoredImage]:
        """`images` with their patches; those that fail their checksum go to `on_damage` instead.

        For use before writes begin: an image that is gone reads as damaged.
        """
        for at in range(0, len(images), _READ_BATCH):
            batch = []
            with self._reading() as txn:
                for image in images[at : at + _READ_BATCH]:
                    try:
                        batch.append(self._with_patches(txn, image))
                    except DataLoss as damage:
                        on_damage(damage)
            yield from batch

    def codebook_id(self) -> str:
        """The codebook that segments are built with; empty before the first one."""
        with self._gate, self._env.begin(db=self._databases.meta) as txn:
            return text(txn, b"codebook")

    def close(self) -> None:
        """Waits for running transactions and closes the environment; again is not an error."""
        with self._gate.alone():
            if not self._closed:
                self._closed = True
                self._env.close()

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        with self._gate:
            if self._closed:
                raise _closed()
            if self._env_lost:
                raise Unavailable("STORE_READ_ONLY", self._refusal)
            with self._env.begin() as txn:
                yield txn

    def _with_patches(self, txn: lmdb.Transaction[bytes], image: StoredImage) -> StoredImage:
        first = image.first_sequence
        # A missing record reads as an empty one, which fails its check.
        records = [
            txn.get(sequence_key(sequence), b"", db=self._databases.patches)
            for sequence in range(first, first + image.patch_count)
        ]
        patches = decode_patches(image.image.image_id, self.identity.dim, records)
        return StoredImage(image.image, first, image.patch_count, patches)

    def _open(self) -> Identity:
        self._env_lost = True
        try:
            self._env = lmdb.open(
                str(self._path),
                map_size=self._map_bytes,
                max_dbs=DATABASES,
                max_readers=_MAX_READERS,
                create=False,
                # Records are read at random: read-ahead would fill the page cache with the rest.
                readahead=False,
            )
            self._databases = Databases(
                *(
                    self._env.open_db(name, create=False)
                    for name in (b"meta", b"images", b"patches")
                )
            )
            with self._env.begin(db=self._databases.meta) as txn:
                self._next_sequence = number(txn, b"next_sequence")
                self._commits = number(txn, b"commits")
                identity = read_identity(txn)
        except lmdb.Error as error:
            raise DataLoss(
                "STORE_CORRUPT",
                f"LMDB cannot open {self._path}: {error}; restore the partition from a copy",
            ) from error
        self._env_lost = False
        return identity

    def _transact(self, operations: Sequence[Operation], outcomes: list[Outcome]) -> None:
        if self._closed:
            raise _closed()
        txn = self._env.begin(write=True)
        try:
            done, following = apply_operations(
                txn, self._databases, operations, self._next_sequence
            )
            outcomes.extend(done)
            if not any(outcome.applied for outcome in outcomes):
                txn.abort()
                return
            meta = self._databases.meta
            txn.put(b"next_sequence", following.to_bytes(8, "little"), db=meta)
            txn.put(b"commits", (self._commits + 1).to_bytes(8, "little"), db=meta)
        except BaseException:
            txn.abort()
            raise
        txn.commit()
        self._next_sequence = following
        self._commits += 1

    def _grow(self, payload: int) -> None:
        with self._gate.alone():
            grown = max(self._map_bytes, int(self._env.info()["map_size"]))
            # Doubling keeps growth rare; the file itself only takes what is written.
            self._map_bytes = max(2 * grown, grown + 2 * room_needed(payload))
            self._env.set_mapsize(self._map_bytes)

    def _reopened_with_commit(self, error: lmdb.Error, payload: int) -> bool:
        """Reopens after a failed commit, whose state LMDB leaves open; tells whether it is there.

        A commit that is there after all is made durable before anybody is told so.
        """
        before = self._commits
        with self._gate.alone():
            try:
                self._env.close()
                self._open()
                if self._commits == before + 1:
                    self._env.sync(True)
                    return True
            except (lmdb.Error, PatchsearchError) as worse:
                self._refusal = (
                    f"a write to {self._path} failed ({error}) and the store did not come back "
                    f"({worse}); mend the disk and restart the shard"
                )
                raise Unavailable("STORE_READ_ONLY", self._refusal) from error
        return False


def _payload(operation: Operation) -> int:
    if not isinstance(operation, PutImage):
        return _OPERATION_BYTES
    image = operation.image
    texts = len(image.uri) * 4 + len(image.metadata) + len(image.selection)
    return _OPERATION_BYTES + texts + sum(len(record) + 24 for record in operation.records)


def _closed() -> Unavailable:
    return Unavailable("NOT_READY", "the partition is closed; try another replica")
