"""The offline check of a data directory: every byte that can be checked, and what it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from patchsearch.errors import DataLoss, NotFound
from shard_service.directory_lock import DirectoryLock
from shard_service.fence import FENCE, is_damaged
from shard_service.filters.verification import check as check_filters
from shard_service.integrity.lmdb_pages import FILTERS, IMAGES, META, PATCHES, Structure
from shard_service.integrity.meta_items import (
    CODEBOOK,
    FORMAT,
    NEXT_SEQUENCE,
    identity_of,
    number,
    value_faults,
)
from shard_service.integrity.prepared_store import last_report
from shard_service.integrity.record_audit import Item, RecordAudit, RecordDamage
from shard_service.integrity.record_check import ImageRow
from shard_service.integrity.segment_check import StoredRows, check_codebooks, check_segment
from shard_service.integrity.store_check import quick_check
from shard_service.store.databases import DATABASE_COUNT, Databases, open_databases
from shard_service.store.images import PatchRows
from shard_service.store.records import FORMAT_VERSION, decode_patches, sequence_key

LMDB, SEGMENTS, CODEBOOKS, PARTITIONS = "lmdb", "segments", "codebooks", "partitions"
_STEP = 4096

OnProgress = Callable[[str, int, int], None]
"""Called with what is being checked, how many of its parts are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What the check of one partition found.

    `images` and `patches` count those that were read, `segments` the sealed
    ones. `lost_ids`: images that an earlier damage cost and that were not written again.
    """

    partition: str
    images: int
    patches: int
    segments: int
    damages: tuple[RecordDamage, ...]
    lost_ids: tuple[bytes, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages


def no_progress(what: str, done: int, total: int) -> None:
    """For checks that nobody watches."""


def verify_data_directory(
    data: Path, progress: OnProgress = no_progress
) -> Iterator[PartitionReport]:
    """Checks all partitions of a data directory, one after the other; changes nothing.

    `data` is what one shard was started with, or a directory of such directories, as
    `patchsearch serve` makes it. Holds a shard's lock while its partitions are checked. Raises
    NotFound DATA_DIR_NOT_FOUND where there are no partitions, FailedPrecondition DATA_DIR_IN_USE
    while a shard runs on it.
    """
    shards = [data] if (data / PARTITIONS).is_dir() else _below(data, f"*/{PARTITIONS}")
    if not shards:
        raise NotFound(
            "DATA_DIR_NOT_FOUND",
            f"{data} holds no partitions; give the directory that a shard was started with",
        )
    for shard in shards:
        lock = DirectoryLock(shard)
        try:
            for directory in sorted((shard / PARTITIONS).iterdir()):
                if directory.is_dir() and not directory.name.startswith("."):
                    yield verify_partition(directory, progress)
        finally:
            lock.release()


def _below(data: Path, pattern: str) -> list[Path]:
    return sorted(path.parent for path in data.glob(pattern) if path.is_dir())


def verify_partition(directory: Path, progress: OnProgress = no_progress) -> PartitionReport:
    """Checks a partition that no process has open; changes nothing, and never raises for damage.

    The pages of the store; each record's checksum; that every image has its patches and every
    patch its image; that ids belong into the partition; the filter index; every file of the sealed
    segments and codebooks, and their rows against the store. Where LMDB cannot be trusted with the
    store, what is left of it is read without LMDB.
    """
    check = _PartitionCheck(directory, progress)
    check.run()
    damages = tuple(dict.fromkeys(check.damages))
    before = last_report(directory)
    lost = () if before is None else tuple(o for o in before.lost_ids if o not in check.rows)
    images = sum(not row.tombstone for row in check.rows.values())
    return PartitionReport(directory.name, images, check.patches, check.segments, damages, lost)


class _PartitionCheck:
    def __init__(self, directory: Path, progress: OnProgress) -> None:
        self._directory = directory
        self._progress = progress
        self._codebook = ""
        self.damages: list[RecordDamage] = []
        self.rows: dict[bytes, ImageRow] = {}
        self.patches = 0
        self.segments = 0

    def run(self) -> None:
        self._progress("store", 0, 1)
        structure, faults = quick_check(self._directory / LMDB)
        self.damages += [
            RecordDamage(LMDB, b"", f"{one.tree}, page {one.page}: {one.detail}")
            for one in structure.damages
        ]
        self.damages += [RecordDamage(LMDB, b"", fault) for fault in faults]
        if is_damaged(self._directory / FENCE):
            self.damages.append(
                RecordDamage(FENCE, b"", "fails its checksum; fence the partition again")
            )
        self._progress("store", 1, 1)
        if structure.intact:
            self._check_through_lmdb(structure.snapshots[0].values(META))
        else:
            self._check_pages(structure)
            self._check_derived(None)

    def _check_through_lmdb(self, values: dict[bytes, bytes]) -> None:
        try:
            env = lmdb.open(
                str(self._directory / LMDB), readonly=True, lock=False, max_dbs=DATABASE_COUNT
            )
        except lmdb.Error as error:
            self.damages.append(RecordDamage(LMDB, b"", f"LMDB cannot open it: {error}"))
            self._check_derived(None)
            return
        try:
            images, patches = (env.open_db(n.encode(), create=False) for n in (IMAGES, PATCHES))
            indexed = number(values, FORMAT) == FORMAT_VERSION
            databases = open_databases(env) if indexed else None
            with env.begin() as txn:
                self._check_records(txn, images, patches, values)
                if databases is not None:
                    self._check_filters(txn, databases)
                self._check_derived(self._stored(txn, patches, values))
        except lmdb.Error as error:
            self.damages.append(RecordDamage(LMDB, b"", f"LMDB cannot read it: {error}"))
        finally:
            env.close()

    def _check_records(
        self, txn: Any, images: Any, patches: Any, values: dict[bytes, bytes]
    ) -> None:
        def items(database: Any, what: str) -> Iterator[Item]:
            with txn.cursor(db=database) as cursor:
                yield from self._counted(cursor, what, int(txn.stat(database)["entries"]))

        if number(values, FORMAT) > FORMAT_VERSION:
            detail = f"it has format {number(values, FORMAT)}, which this version cannot read"
            self.damages.append(RecordDamage(LMDB, b"", detail))
            return
        whole = not value_faults(values)
        identity = identity_of(values) if whole else None
        if identity is not None and identity.partition_id != self._directory.name:
            detail = f"it is the store of partition {identity.partition_id}"
            self.damages.append(RecordDamage(LMDB, b"", detail))
        audit = RecordAudit(identity, number(values, FORMAT))
        audit.take_images(items(images, IMAGES))
        audit.take_patches(items(patches, PATCHES))
        audit.check_next_sequence(number(values, NEXT_SEQUENCE))
        self._take(audit)

    def _check_filters(self, txn: Any, databases: Databases) -> None:
        self._progress("filters", 0, 1)
        problems = check_filters(txn, databases)
        self.damages += [RecordDamage("filters", b"", problem) for problem in problems]
        self._progress("filters", 1, 1)

    def _check_pages(self, structure: Structure) -> None:
        """The records of a store that LMDB is not to be trusted with."""
        if structure.file is None:
            return
        file, snapshot = structure.file, structure.snapshots[0]
        values = snapshot.values(META)

        def items(name: str) -> Iterator[Item]:
            found = snapshot.items.get(name)
            if found is not None:
                yield from self._counted(found.read(file), name, len(found))

        whole = bool(values) and not value_faults(values)
        store_format = number(values, FORMAT) or FORMAT_VERSION
        audit = RecordAudit(identity_of(values) if whole else None, store_format)
        audit.take_images(items(IMAGES))
        audit.take_patches(items(PATCHES))
        audit.take_filters(items(FILTERS))
        self._take(audit)

    def _take(self, audit: RecordAudit) -> None:
        self.damages += audit.damages
        self.rows, self.patches = audit.rows, audit.patches

    def _stored(self, txn: Any, patches: Any, values: dict[bytes, bytes]) -> StoredRows:
        self._codebook = values.get(CODEBOOK, b"").decode("utf-8", "replace")
        dim = number(values, b"dim")

        def read(image_id: bytes, row: ImageRow) -> PatchRows | None:
            sequences = range(row.first_sequence, row.end)
            records = [txn.get(sequence_key(at), b"", db=patches) for at in sequences]
            try:
                return decode_patches(image_id, dim, records)
            except DataLoss:
                return None

        return StoredRows(self.rows, read, number(values, NEXT_SEQUENCE))

    def _check_derived(self, stored: StoredRows | None) -> None:
        directory = self._directory / SEGMENTS
        paths = sorted(directory.iterdir()) if directory.is_dir() else []
        segments = [path for path in paths if not path.name.startswith(".")]
        self.segments = len(segments)
        for done, path in enumerate(segments):
            self._progress("segments", done, len(segments))
            self.damages += check_segment(path, stored)
        self._progress("segments", len(segments), len(segments))
        self.damages += check_codebooks(self._directory / CODEBOOKS, self._codebook)

    def _counted(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        for done, item in enumerate(items):
            if done % _STEP == 0:
                self._progress(what, done, total)
            yield item
        self._progress(what, total, total)
