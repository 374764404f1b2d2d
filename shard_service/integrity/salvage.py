"""Makes a fresh store of what a damaged one still holds whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lmdb

from patchsearch.errors import DataLoss
from shard_service.filters.rebuild import rebuild
from shard_service.integrity.change_log import read_log
from shard_service.integrity.commit_witness import witnessed_commits
from shard_service.integrity.contents import Contents, meta_copies, read_contents
from shard_service.integrity.lmdb_pages import IMAGES, Snapshot, Structure, read_structure
from shard_service.integrity.meta_items import (
    CODEBOOK,
    COMMITS,
    NEXT_SEQUENCE,
    OPENING,
    believed,
    identity_of,
    number,
    value_faults,
)
from shard_service.integrity.missing_commits import (
    MissingCommits,
    bring_up_to_date,
    missing_commits,
)
from shard_service.integrity.record_check import FIRST_FORMAT, ImageRow, patch_dim, resealed_image
from shard_service.integrity.snapshot_choice import last_snapshot
from shard_service.store.databases import DATABASE_COUNT, Databases, open_databases
from shard_service.store.meta import Identity, create_environment, seal_meta
from shard_service.store.records import FORMAT_VERSION, sequence_key

REPORT = "salvage.json"
_BATCH_BYTES = 8 << 20
_LEAP = 1 << 32


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What was kept of a damaged store, and what is lost.

    `lost_ids` (UTF-8 bytes) are the images known to have been there of which a part is damaged or
    gone: ingest them again. Where the id itself was damaged it is as it reads now, and perhaps no
    UTF-8. `unknown_records` counts image records and tombstones that are gone without leaving their
    id. `damages`: what was wrong, for people.
    """

    images: int
    tombstones: int
    patches: int
    lost_ids: tuple[bytes, ...]
    unknown_records: int
    damages: tuple[str, ...]

    def to_json(self) -> str:
        """As JSON; ids in hex."""
        return json.dumps({**asdict(self), "lost_ids": [one.hex() for one in self.lost_ids]})

    @classmethod
    def from_json(cls, text: str) -> SalvageReport:
        """From what `to_json` wrote; raises ValueError, TypeError or LookupError for other text."""
        values = json.loads(text)
        return cls(
            int(values["images"]),
            int(values["tombstones"]),
            int(values["patches"]),
            tuple(bytes.fromhex(one) for one in values["lost_ids"]),
            int(values["unknown_records"]),
            tuple(map(str, values["damages"])),
        )


def salvage(
    damaged: Path, fresh: Path, *, structure: Structure | None = None, faults: Iterable[str] = ()
) -> SalvageReport:
    """Writes a store to `fresh`, which must not exist, durably, of what is whole in `damaged`.

    Both are directories of LMDB environments; `damaged` is only read, and not by LMDB. Sequences,
    versions and tombstones stay what they were, so segments that were built still fit; the format
    is this version's. An image of which a record is damaged or missing is left out whole. Where
    only the tree of an earlier commit can be read, what the commits behind it changed is left out
    too, unless it is found whole; deletions are made again. Raises DataLoss STORE_CORRUPT when
    nothing can be read, or not even what the partition is, or when it cannot be told what the
    missing commits changed; OSError or lmdb.Error when the disk fails.
    """
    structure = structure or read_structure(damaged)
    snapshot = _chosen(damaged, structure)
    contents = read_contents(snapshot)
    if contents.store_format > FORMAT_VERSION:
        raise _hopeless(damaged, f"it has format {contents.store_format}, which is unknown here")
    copies = meta_copies(snapshot.walk.file)
    values = believed(copies)
    if values is None:
        raise _hopeless(damaged, "what partition it is cannot be told from it")
    before = set(contents.images)
    missing, outdated = _bring_up_to_date(damaged, structure, snapshot, contents)
    whole = list(contents.whole_images())
    _check_dimension(damaged, contents, whole, identity_of(values))
    commits = max(witnessed_commits(damaged), *_counts(copies, COMMITS))
    following = max(
        missing.next_sequence,
        *_counts(copies, NEXT_SEQUENCE),
        *(row.end for row, _ in contents.images.values()),
    )
    final = {
        NEXT_SEQUENCE: following.to_bytes(8, "little"),
        COMMITS: commits.to_bytes(8, "little"),
    }
    if contents.meta.get(CODEBOOK) and not value_faults(contents.meta):
        final[CODEBOOK] = contents.meta[CODEBOOK]
    if len(contents.meta.get(OPENING, b"")) == 8:
        # A name and no more: one that is damaged is only another name.
        final[OPENING] = contents.meta[OPENING]
    _write(fresh, identity_of(values), contents, whole, final, snapshot.walk.file.size)
    if missing.count:
        faults = [*faults, f"the last {missing.count} commits are missing"]
    lost = _lost(contents, whole, missing) | outdated
    # Those that only the missing commits brought are not among the records that the tree had.
    late = missing.changes.keys() - before
    unknown = snapshot.entries.get(IMAGES, 0) - len(({key for key, _, _ in whole} | lost) - late)
    report = _report(whole, lost, unknown, (*structure_faults(structure), *faults))
    (fresh / REPORT).write_text(report.to_json(), encoding="utf-8")
    return report


def structure_faults(structure: Structure) -> tuple[str, ...]:
    """The damages of a structure, in words."""
    return tuple(f"{one.tree}: {one.detail}" for one in structure.damages)


def _bring_up_to_date(
    environment: Path, structure: Structure, snapshot: Snapshot, contents: Contents
) -> tuple[MissingCommits, set[bytes]]:
    missing = missing_commits(environment, structure, snapshot, contents)
    if missing is None:
        why = "what its last commits changed cannot be told, and may be undone in what is left"
        raise _hopeless(environment, why)
    return missing, bring_up_to_date(contents, missing)


def _chosen(environment: Path, structure: Structure) -> Snapshot:
    snapshot = last_snapshot(structure, witnessed_commits(environment), read_log(environment))
    if snapshot is None:
        raise _hopeless(environment, "; ".join(one.detail for one in structure.damages[:3]))
    return snapshot


def _check_dimension(path: Path, contents: Contents, whole: list[Any], identity: Identity) -> None:
    """The vectors know the dimension too; the range of hashes and the rest is in `meta` alone."""
    place = next(iter(contents.patches.values()), None)
    if whole and place and patch_dim(contents.value(place)) != identity.dim:
        raise _hopeless(path, "its vectors have another dimension than it says")


def _counts(copies: list[dict[bytes, bytes]], key: bytes) -> list[int]:
    """The numbers that copies of `meta` tell, without those that are leaps ahead of the others."""
    found = sorted(number(copy, key) for copy in copies if not value_faults(copy)) or [0]
    return [0, *(one for one in found if one < found[0] + _LEAP)]


def _write(
    fresh: Path,
    identity: Identity,
    contents: Contents,
    whole: list[tuple[bytes, ImageRow, Any]],
    final: dict[bytes, bytes],
    file_bytes: int,
) -> None:
    map_bytes = (4 * file_bytes + (64 << 20)) & ~0xFFFF
    create_environment(fresh, identity, map_bytes)
    env = lmdb.open(str(fresh), map_size=map_bytes, max_dbs=DATABASE_COUNT, sync=False)
    try:
        databases = open_databases(env)
        with env.begin(write=True) as txn:
            _put_meta(txn, databases, final)
        _put(env, databases.images, _image_records(contents, whole))
        sequences = sorted(at for _, row, _ in whole for at in range(row.first_sequence, row.end))
        records = ((sequence_key(at), contents.value(contents.patches[at])) for at in sequences)
        _put(env, databases.patches, records)
        with env.begin(write=True) as txn:
            rebuild(txn, databases)
            # Again, so that the last two transactions tell the same: a leap would look like damage.
            _put_meta(txn, databases, final)
        env.sync(True)
    finally:
        env.close()


def _put(env: lmdb.Environment, database: Any, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Appends sorted records in transactions of bounded size."""
    waiting: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in records:
        waiting.append((key, value))
        size += len(value)
        if size > _BATCH_BYTES:
            _put_batch(env, database, waiting)
            waiting, size = [], 0
    _put_batch(env, database, waiting)


def _put_batch(env: lmdb.Environment, database: Any, batch: list[tuple[bytes, bytes]]) -> None:
    with env.begin(write=True) as txn:
        for key, value in batch:
            txn.put(key, value, append=True, db=database)


def _put_meta(
    txn: lmdb.Transaction[bytes], databases: Databases, final: dict[bytes, bytes]
) -> None:
    for key, value in final.items():
        txn.put(key, value, db=databases.meta)
    seal_meta(txn, databases.meta)


def _image_records(
    contents: Contents, whole: list[tuple[bytes, ImageRow, Any]]
) -> Iterator[tuple[bytes, bytes]]:
    for key, _, place in whole:
        record = contents.value(place)
        if contents.store_format == FIRST_FORMAT:
            record = resealed_image(key, record) or record
        yield key, record


def _lost(
    contents: Contents, whole: list[tuple[bytes, ImageRow, Any]], missing: MissingCommits
) -> set[bytes]:
    """Known from a record that is whole or damaged, or from patches that are still there."""
    known = contents.images.keys() | contents.damaged_images | set(contents.owners.values())
    deleted = {key for key, change in missing.changes.items() if change.deleted}
    return known - {key for key, _, _ in whole} - deleted


def _report(
    whole: list[tuple[bytes, ImageRow, Any]], lost: set[bytes], unknown: int, damages: Iterable[str]
) -> SalvageReport:
    return SalvageReport(
        images=sum(not row.tombstone for _, row, _ in whole),
        tombstones=sum(row.tombstone for _, row, _ in whole),
        patches=sum(row.patch_count for _, row, _ in whole),
        lost_ids=tuple(sorted(lost)),
        unknown_records=max(unknown, 0),
        damages=tuple(dict.fromkeys(damages)),
    )


def _hopeless(path: Path, why: str) -> DataLoss:
    return DataLoss(
        "STORE_CORRUPT",
        f"{path} is damaged beyond salvage ({why}); restore the partition from a copy",
    )
