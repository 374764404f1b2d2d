"""Makes the store of a partition fit to be opened: checks it, and replaces a damaged one."""

from __future__ import annotations

import errno
import shutil
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import lmdb

from patchsearch.errors import DataLoss
from shard_service.derived_files import sync_path
from shard_service.integrity.page_file import DATA_FILE
from shard_service.integrity.salvage import REPORT, SalvageReport, salvage
from shard_service.integrity.store_check import quick_check
from shard_service.store.failures import disk_full, is_disk_full

_LMDB = "lmdb"
_UNFINISHED = "lmdb.unfinished-"
_SALVAGED = "lmdb.salvaged"
_ASIDE = "lmdb.failed-"


@dataclass(frozen=True, slots=True)
class StoreCondition:
    """How a store was found.

    `faults`: what was wrong with it just now, nothing where it was whole. `replaced`: where the
    damaged one lies, None where it was whole. `report`: what the last replacement, this one or one
    before, kept and lost; None where there never was one. Images that were lost then and have been
    written since are still among its `lost_ids`.
    """

    faults: tuple[str, ...]
    replaced: Path | None
    report: SalvageReport | None


def prepare_store(partition: Path) -> StoreCondition:
    """Checks `partition`/lmdb before LMDB opens it; a damaged one is replaced by what is whole.

    To be called by the one process that holds the data directory, with the store closed. The
    damaged store is kept beside as lmdb.failed-N, the last one only. Whoever is killed in between
    leaves what the next call goes on from. Raises DataLoss STORE_CORRUPT when nothing can be
    salvaged (nothing has changed then), ResourceExhausted DISK_FULL when there is no room for the
    new store, OSError when the disk fails.
    """
    store = partition / _LMDB
    _finish_interrupted(partition)
    if not (store / DATA_FILE).exists():
        raise DataLoss(
            "STORE_CORRUPT",
            f"{store / DATA_FILE} is missing; restore the partition from a copy",
        )
    structure, faults = quick_check(store)
    found = (*(f"{one.tree}, page {one.page}: {one.detail}" for one in structure.damages), *faults)
    if not found:
        return StoreCondition((), None, last_report(partition))
    unfinished = partition / f"{_UNFINISHED}{uuid.uuid4().hex}"
    try:
        report = salvage(store, unfinished, structure=structure, faults=faults)
        for path in unfinished.iterdir():
            sync_path(path)
        sync_path(unfinished)
    except (OSError, lmdb.Error) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if _no_room(error, store):
            raise disk_full(partition) from error
        raise
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    # This name says that it is whole; once the old one is away the exchange is finished whatever
    # happens.
    unfinished.rename(partition / _SALVAGED)
    sync_path(partition)
    sys.audit("patchsearch.shard", "before-store-exchange", str(partition))
    aside = partition / f"{_ASIDE}{_next_number(partition)}"
    store.rename(aside)
    sync_path(partition)
    sys.audit("patchsearch.shard", "mid-store-exchange", str(partition))
    _finish_interrupted(partition)
    return StoreCondition(found, aside, report)


def last_report(partition: Path) -> SalvageReport | None:
    """What the last replacement of the store kept and lost; None where it never was replaced."""
    try:
        text = (partition / _LMDB / REPORT).read_text(encoding="utf-8")
        return SalvageReport.from_json(text)
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _finish_interrupted(partition: Path) -> None:
    store, salvaged = partition / _LMDB, partition / _SALVAGED
    for leftover in partition.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover)
    if salvaged.exists():
        if store.exists():
            # The old one was not moved yet, and is checked again.
            shutil.rmtree(salvaged)
        else:
            salvaged.rename(store)
            sync_path(partition)
    numbers = _aside_numbers(partition)
    for number in numbers[:-1]:
        shutil.rmtree(partition / f"{_ASIDE}{number}")


def _next_number(partition: Path) -> int:
    return max(_aside_numbers(partition), default=0) + 1


def _aside_numbers(partition: Path) -> list[int]:
    names = [path.name.removeprefix(_ASIDE) for path in partition.glob(f"{_ASIDE}*")]
    return sorted(int(name) for name in names if name.isdecimal())


def _no_room(error: OSError | lmdb.Error, store: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return is_disk_full(error, store, (store / DATA_FILE).stat().st_size)
