"""Restores snapshots that a writer took and compares them with what they may hold."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from patchsearch.errors import PatchsearchError
from shard_service.shard import Shard
from shard_service.snapshots.restoring import restore_snapshot
from tests.chaos.partition.examination import FAULTS, Findings, examine
from tests.chaos.partition.history import TakenSnapshot, history_of_snapshot, taken_snapshots
from tests.chaos.partition.ledger import Entry
from tests.chaos.partition.workload import options
from tests.shard_service.material import IDENTITY


def compare_snapshots(
    entries: Sequence[Entry], findings: Findings, rng: np.random.Generator
) -> tuple[int, int]:
    """The snapshots that are still there: how many were whole and right, and how many cut off.

    One that was acknowledged must be restorable; one that was cut off may be there whole, or not.
    Both hold the partition as of one moment while they were taken. Adds to `findings`.
    """
    whole, cut_off = 0, 0
    for taken in taken_snapshots(entries)[-2:]:
        with tempfile.TemporaryDirectory(prefix="restored-") as room:
            if _restored(taken, Path(room) / "data", findings):
                _compare(taken, Path(room) / "data", entries, findings, rng)
                whole += 1
            else:
                cut_off += not taken.whole
        shutil.rmtree(taken.path, ignore_errors=True)
    return whole, cut_off


def _restored(taken: TakenSnapshot, data: Path, findings: Findings) -> bool:
    try:
        data.mkdir()
        restore_snapshot(taken.path, data)
    except PatchsearchError as error:
        if taken.whole:
            findings.wrong.append(f"the snapshot {taken.path} cannot be restored: {error}")
        return False
    return True


def _compare(
    taken: TakenSnapshot,
    data: Path,
    entries: Sequence[Entry],
    findings: Findings,
    rng: np.random.Generator,
) -> None:
    history = history_of_snapshot(entries, taken.begin, taken.end)
    shard = Shard(data, options(sealing=False))
    try:
        shard.open()
        found = examine(shard.partition(IDENTITY.partition_id), history.allowed, rng)
        found.torn += history.torn_calls(found.live)
        for kind in (*FAULTS, "reported", "refused"):
            told = [f"snapshot {taken.path}: {what}" for what in getattr(found, kind)]
            getattr(findings, kind).extend(told)
    except PatchsearchError as error:
        findings.wrong.append(f"the restored snapshot {taken.path} does not open: {error}")
    finally:
        shard.close()
