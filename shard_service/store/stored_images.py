"""Reads images and patches of a store, as of one moment each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import lmdb
import xxhash

from patchsearch.errors import DataLoss
from shard_service.store.databases import Databases
from shard_service.store.images import RecordState, StoredImage
from shard_service.store.live_environment import LiveEnvironment
from shard_service.store.records import (
    decode_image,
    decode_patches,
    sequence_key,
    stored_state,
)

MAX_KEY_BYTES = 511
"""LMDB's limit on a key, and so on an image_id."""

_READ_BATCH = 256
_SCAN_KEYS = 4096

OnDamage = Callable[[DataLoss], None]
OnState = Callable[[bytes, RecordState], None]


@dataclass(frozen=True, eq=False, slots=True)
class CheckedImages:
    """Images that were read, tombstones too, their patches, and those that fail their checksums.

    `last_key` is where to go on behind; None at the end.
    """

    images: int
    patches: int
    damages: Sequence[DataLoss]
    last_key: bytes | None


def _damage_not_told(damage: DataLoss) -> None:
    """For whoever counts what is whole."""


def _not_told(key: bytes, state: RecordState) -> None:
    """For whoever reads images alone."""


class StoredImages:
    """What can be read of the images in an environment. Thread-safe.

    All calls raise Unavailable NOT_READY after the environment was closed, STORE_READ_ONLY when it
    was lost with its disk.
    """

    def __init__(self, live: LiveEnvironment) -> None:
        self._live = live
        self._dim = live.identity.dim

    def read_images(
        self,
        keys: Sequence[bytes],
        *,
        with_patches: bool = False,
        on_damage: OnDamage | None = None,
    ) -> list[StoredImage | None]:
        """The images of `keys` as of one moment; None for those that are not stored.

        A record that fails its checksum is told to `on_damage` and read as None; without it,
        DataLoss STORE_CORRUPT is raised.
        """
        found: list[StoredImage | None] = []
        with self._live.reading() as (txn, databases):
            for key in keys:
                record = txn.get(key, db=databases.images)
                try:
                    image = None if record is None else decode_image(key, record)
                    if image is not None and with_patches:
                        image = self._with_patches(txn, databases, image)
                except DataLoss as damage:
                    if on_damage is None:
                        raise
                    on_damage(damage)
                    image = None
                found.append(image)
        return found

    def have_records(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether there is a record under each of `keys`, be it of an image, a tombstone, or
        damaged; any bytes may be asked for."""
        with self._live.reading() as (txn, databases):
            return [
                0 < len(key) <= MAX_KEY_BYTES and txn.get(key, db=databases.images) is not None
                for key in keys
            ]

    def list_images(
        self, after: bytes, prefix: bytes, page_size: int, on_damage: OnDamage
    ) -> list[StoredImage]:
        """At most `page_size` images in key order: keys behind `after` that begin with `prefix`.

        Those whose record fails its checksum go to `on_damage` and are not counted.
        """
        page: list[StoredImage] = []
        # LMDB refuses longer keys, and no stored key lies between these and the whole ones.
        start = max(after, prefix)[:MAX_KEY_BYTES]
        with (
            self._live.reading() as (txn, databases),
            txn.cursor(db=databases.images) as cursor,
        ):
            if not (cursor.set_range(start) if start else cursor.first()):
                return page
            for key, record in cursor:
                if after and key <= after:
                    continue
                if not key.startswith(prefix):
                    break
                try:
                    image = decode_image(key, record)
                except DataLoss as damage:
                    on_damage(damage)
                    continue
                if image is not None:
                    page.append(image)
                    if len(page) == page_size:
                        break
        return page

    def live_images(self, on_damage: OnDamage, on_state: OnState = _not_told) -> list[StoredImage]:
        """All images without patches; those that fail their checksum go to `on_damage`.

        `on_state` is told of every other record, tombstones too.
        """
        images: list[StoredImage] = []
        with (
            self._live.reading() as (txn, databases),
            txn.cursor(db=databases.images) as cursor,
        ):
            for key, record in cursor:
                try:
                    image = decode_image(key, record)
                except DataLoss as damage:
                    on_damage(damage)
                    continue
                if image is None:
                    on_state(key, stored_state(key, record))
                else:
                    on_state(key, RecordState(image.image.version, False))
                    images.append(image)
        return images

    def states(self, keys: Sequence[bytes]) -> list[RecordState | None]:
        """What is stored of each of `keys`; None for no record, and for a damaged one."""
        found: list[RecordState | None] = []
        with self._live.reading() as (txn, databases):
            for key in keys:
                record = txn.get(key, db=databases.images)
                try:
                    found.append(None if record is None else stored_state(key, record))
                except DataLoss:
                    found.append(None)
        return found

    def scan_states(
        self, after: bytes, count: int, wanted: Callable[[bytes], bool], on_damage: OnDamage
    ) -> tuple[list[tuple[bytes, RecordState]], bytes | None]:
        """Looks at `count` keys behind `after`; the states of those that are `wanted`, and the last
        key that was looked at, None at the end.

        One short transaction. Records that fail their checksums go to `on_damage` and are left out.
        """
        found: list[tuple[bytes, RecordState]] = []
        with (
            self._live.reading() as (txn, databases),
            txn.cursor(db=databases.images) as cursor,
        ):
            # LMDB refuses longer keys, and no stored key lies between these and the whole ones.
            start = after[:MAX_KEY_BYTES]
            if not (cursor.set_range(start) if start else cursor.first()):
                return found, None
            looked = 0
            for key in cursor.iternext(keys=True, values=False):
                if after and key <= after:
                    continue
                if wanted(key):
                    try:
                        found.append((key, stored_state(key, cursor.value())))
                    except DataLoss as damage:
                        on_damage(damage)
                looked += 1
                if looked == count:
                    return found, key
        return found, None

    def states_between(self, low: int, high: int) -> Iterator[tuple[bytes, RecordState]]:
        """The states of the images whose ids hash to `low` to `high`, in short transactions;
        damaged records are left out."""

        def wanted(key: bytes) -> bool:
            return low <= int(xxhash.xxh64_intdigest(key)) <= high

        after: bytes | None = b""
        while after is not None:
            found, after = self.scan_states(after, _SCAN_KEYS, wanted, _damage_not_told)
            yield from found

    def with_patches(
        self, images: Sequence[StoredImage], on_damage: OnDamage
    ) -> Iterator[StoredImage]:
        """`images` with their patches; those that fail their checksum go to `on_damage` instead.

        For use before writes begin: an image that is gone reads as damaged.
        """
        for at in range(0, len(images), _READ_BATCH):
            batch = []
            with self._live.reading() as (txn, databases):
                for image in images[at : at + _READ_BATCH]:
                    try:
                        batch.append(self._with_patches(txn, databases, image))
                    except DataLoss as damage:
                        on_damage(damage)
            yield from batch

    def check_images(self, after: bytes, count: int) -> CheckedImages:
        """Reads at most `count` images with their patches, by key, those behind `after`."""
        images = patches = 0
        damages: list[DataLoss] = []
        with (
            self._live.reading() as (txn, databases),
            txn.cursor(db=databases.images) as cursor,
        ):
            found = cursor.set_range(after) if after else cursor.first()
            last: bytes | None = None
            for key, record in cursor if found else ():
                if after and key <= after:
                    continue
                if images == count:
                    return CheckedImages(images, patches, damages, last)
                images += 1
                last = key
                try:
                    image = decode_image(key, record)
                    if image is not None:
                        self._with_patches(txn, databases, image)
                        patches += image.patch_count
                except DataLoss as damage:
                    damages.append(damage)
        return CheckedImages(images, patches, damages, None)

    def _with_patches(
        self, txn: lmdb.Transaction[bytes], databases: Databases, image: StoredImage
    ) -> StoredImage:
        first = image.first_sequence
        # A missing record reads as an empty one, which fails its check.
        records = [
            txn.get(sequence_key(sequence), b"", db=databases.patches)
            for sequence in range(first, first + image.patch_count)
        ]
        patches = decode_patches(image.image.image_id, self._dim, records)
        return StoredImage(image.image, first, image.patch_count, patches)
