"""The quick check of a store: everything that can be known of it without reading its records."""

from __future__ import annotations

from pathlib import Path

from shard_service.integrity.commit_witness import witnessed_commits
from shard_service.integrity.lmdb_pages import META, PATCHES, Structure, read_structure
from shard_service.integrity.meta_items import (
    NEXT_SEQUENCE,
    REQUIRED_KEYS,
    differences,
    number,
    value_faults,
)


def quick_check(environment: Path) -> tuple[Structure, list[str]]:
    """The structure of the store in `environment`, and what is wrong beside its damages.

    Both are without fault where LMDB can be trusted with the store and no commit is missing; the
    records may still fail their checksums. Takes about 0.2 s for 100 000 patches of 1 KiB.
    """
    structure = read_structure(environment)
    if structure.damages:
        return structure, []
    newest, previous = structure.snapshots
    values, earlier = newest.values(META), previous.values(META)
    faults = value_faults(values)
    if not faults and earlier.keys() >= REQUIRED_KEYS:
        faults += differences(values, earlier)
    patches = newest.items.get(PATCHES)
    if patches is not None and len(patches):
        file = newest.walk.file
        last = file.bytes_at(int(patches.key_at[-1]), int(patches.key_sizes[-1]))
        if int.from_bytes(last, "big") >= number(values, NEXT_SEQUENCE):
            faults.append("next_sequence is not above all patches")
    missing = witnessed_commits(environment) - newest.commits
    if missing > 0:
        faults.append(f"the last {missing} commits are missing")
    return structure, faults
