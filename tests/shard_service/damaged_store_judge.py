"""Damages a store again and again, and prints as JSON what became of it; a process of its own,
because LMDB ends the process where the check before it lets damage pass.

Arguments: the store, a directory to work in, the first case and the last."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from patchsearch.errors import DataLoss
from shard_service.integrity.record_audit import RecordDamage
from shard_service.integrity.salvage import salvage
from shard_service.integrity.store_check import quick_check
from shard_service.integrity.verification import verify_partition
from shard_service.store.patch_store import PatchStore
from tests.shard_service.damaged_stores import (
    CORRUPTIONS,
    Items,
    damaged_copy,
    put_operation,
    read_items,
)


def judge(partition: Path, base: Items) -> str:
    """What a damaged store comes to; raises AssertionError where an answer would be wrong."""
    environment = partition / "lmdb"
    structure, faults = quick_check(environment)
    if structure.intact and not faults:
        if read_items(environment) == base:
            write_on(environment, base)
            return "harmless"
        return "in records" if verify_partition(partition).damages else "MISSED"
    assert verify_partition(partition).damages
    fresh = partition / "fresh"
    try:
        report = salvage(environment, fresh)
    except DataLoss:
        return "hopeless"
    assert quick_check(fresh)[0].damages == []
    kept = read_items(fresh)
    for name in ("images", "patches"):
        changed = {key for key, value in kept[name].items() if base[name].get(key) != value}
        assert not changed, f"{name} has what was not stored last: {sorted(changed)[:3]}"
    gone = base["images"].keys() - kept["images"].keys()
    # What is gone is named, perhaps by an id that is damaged itself, or at least counted.
    garbled = set(report.lost_ids) - base["images"].keys()
    assert len(gone - set(report.lost_ids)) <= report.unknown_records + len(garbled), report
    assert verify_moved(fresh) == ()
    return "salvaged whole" if not gone else "salvaged in part"


def write_on(environment: Path, base: Items) -> None:
    """Damage that no reader sees must not come out when the next commits use its pages."""
    store = PatchStore(environment, 1 << 24, durable=False)
    rng = np.random.default_rng(0)
    for number in range(3):
        store.commit([put_operation(rng, f"zzz/{number}", 1, 5)])
    store.close()
    structure, faults = quick_check(environment)
    assert structure.intact and not faults
    items = read_items(environment)
    for name in ("images", "patches"):
        assert items[name].items() >= base[name].items()


def verify_moved(environment: Path) -> tuple[RecordDamage, ...]:
    partition = environment.parent / "salvaged" / "p0"
    partition.mkdir(parents=True)
    shutil.move(environment, partition / "lmdb")
    return verify_partition(partition).damages


def main() -> None:
    base, work = Path(sys.argv[1]), Path(sys.argv[2])
    items = read_items(base)
    outcomes: dict[str, Counter[str]] = {}
    for case in range(int(sys.argv[3]), int(sys.argv[4])):
        rng = np.random.default_rng(case)
        corruption = CORRUPTIONS[case % len(CORRUPTIONS)]
        print(f"case {case} {corruption.__name__}", file=sys.stderr, flush=True)
        partition = work / "p0"
        shutil.rmtree(partition, ignore_errors=True)
        partition.mkdir(parents=True)
        if damaged_copy(base, partition / "lmdb", corruption, rng):
            outcome = judge(partition, items)
            print(f"  {outcome}", file=sys.stderr, flush=True)
            outcomes.setdefault(corruption.__name__, Counter())[outcome] += 1
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
