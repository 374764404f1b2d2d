"""Disks that fill up, and disks whose fsync fails, under a writer at work."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.partition.disks import memory_disk, mounted, new_image
from tests.chaos.partition.examination import COMPLAINTS, FAULTS
from tests.chaos.partition.history import read_history
from tests.chaos.partition.ledger import Ledger
from tests.chaos.partition.processes import LOOKER, WRITER, Child, look

_READY_S = 60.0
_WAIT_S = 30.0
_FAILING_S = 2.0
_FULL_MEGABYTES = 48
_FAILING_MEGABYTES = 200
_UNDER_IT_MEGABYTES = 64


@dataclass
class DiskReport:
    """`refused`: refusals of writes by reason. `faults`: what should have been otherwise."""

    skipped: str = ""
    rounds: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    searches_while_full: int = 0
    searches_while_fsync_fails: int = 0
    searches_refused: int = 0
    resumed_s: list[float] = field(default_factory=list)
    acknowledged_writes: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)

    def expect(self, good: bool, what: str) -> None:
        if not good:
            self.faults.setdefault("wrong", []).append(what)


def fill_disk(room: Path, report: DiskReport, *, killed_while_full: bool) -> None:
    """Writes are refused and searches go on; they resume by themselves when there is room.

    With `killed_while_full` the partition must open, and answer, on the full disk first.
    """
    mount = room / "mount"
    with ExitStack() as held:
        held.enter_context(mounted(new_image(room / "full", _FULL_MEGABYTES), mount))
        ledger = held.enter_context(Ledger(room / "full.jsonl"))
        with _Writing(room, mount, ledger, 1) as writer:
            ballast = _fill(mount)
            refused = writer.wait_for(lambda: "DISK_FULL" in writer.said("refused"), _WAIT_S)
            report.expect(refused, "a full disk refused no write")
            before = len(writer.said("searches"))
            goes_on = writer.wait_for(lambda: len(writer.said("searches")) > before + 2, _WAIT_S)
            report.expect(goes_on, "no search was answered while the disk was full")
            report.searches_while_full += sum(writer.said("searches")[before:])
            if not killed_while_full:
                ballast.unlink()
                _expect_new_writes(writer, ledger, report)
            _end(writer, report)
        if killed_while_full:
            _compare(room, mount, ledger, report, "killed while the disk was full")
            ballast.unlink()
            with _Writing(room, mount, ledger, 2) as writer:
                _expect_new_writes(writer, ledger, report)
                _end(writer, report)
        _compare(room, mount, ledger, report, "after the disk was full")
        _sum_up(ledger, report)


def fail_fsync(room: Path, report: DiskReport) -> None:
    """The device refuses what is synced; nothing that was acknowledged depended on that.

    The disk lies in a memory file system that fills up: the kernel reports EIO for its writes.
    """
    mount, under = room / "mount", room / "under"
    with ExitStack() as held:
        held.enter_context(memory_disk(under, _UNDER_IT_MEGABYTES))
        image = new_image(under / "image", _FAILING_MEGABYTES)
        ledger = held.enter_context(Ledger(room / "fsync.jsonl"))
        with mounted(image, mount), _Writing(room, mount, ledger, 1) as writer:
            ballast = _fill(under)
            report.expect(
                writer.wait_for(lambda: bool(writer.said("refused")), _WAIT_S),
                "a device that takes nothing refused no write",
            )
            before = len(writer.said("searches"))
            goes_on = writer.wait_for(lambda: len(writer.said("searches")) > before + 2, _FAILING_S)
            report.expect(goes_on, "no search was answered while fsync failed")
            report.searches_while_fsync_fails += sum(writer.said("searches")[before:])
            refused = writer.said("search_refused")
            report.searches_refused += len(refused)
            report.expect(not refused, f"searches were refused while fsync failed: {refused[:1]}")
            _end(writer, report)
        ballast.unlink()
        with mounted(image, mount):
            _compare(room, mount, ledger, report, "after fsync failed")
            with _Writing(room, mount, ledger, 2) as writer:
                _expect_new_writes(writer, ledger, report)
                _end(writer, report)
            _compare(room, mount, ledger, report, "after fsync failed, and more writes")
        _sum_up(ledger, report)


class _Writing(Child):
    """A writer that has acknowledged something already."""

    def __init__(self, room: Path, mount: Path, ledger: Ledger, run: int) -> None:
        super().__init__(WRITER, room / "children.log")
        self.tell(
            {
                "data": str(mount / "data"),
                "ledger": ledger.address,
                "run": run,
                "first_version": max(1000, read_history(ledger.entries()).newest_version + 1),
                "seed": run,
                "point": "none",
                "occurrence": 1,
            }
        )
        if not self.wait_for(lambda: len(self.said("searches")) >= 5, _READY_S):
            self.kill()
            raise RuntimeError(f"the writer did not start; see {self.log}")


def _fill(mount: Path) -> Path:
    ballast = mount / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue
        try:
            os.fsync(file.fileno())
        except OSError:
            pass
    return ballast


def _expect_new_writes(writer: Child, ledger: Ledger, report: DiskReport) -> None:
    before = read_history(ledger.entries()).acknowledged
    started = time.monotonic()
    while read_history(ledger.entries()).acknowledged < before + 20:
        if time.monotonic() > started + _WAIT_S or writer.process.poll() is not None:
            report.expect(False, "writes did not resume when there was room again")
            return
        time.sleep(0.05)
    report.resumed_s.append(time.monotonic() - started)


def _end(writer: Child, report: DiskReport) -> None:
    died = writer.process.poll()
    writer.kill()
    report.expect(died is None, f"the writer ended by itself: {died}")
    for failure in writer.said("failed"):
        report.faults.setdefault("failed", []).append(f"a thread of the writer: {failure}")


def _compare(room: Path, mount: Path, ledger: Ledger, report: DiskReport, when: str) -> None:
    with Child(LOOKER, room / "children.log") as looker:
        looker.need("ready")
        said: dict[str, Any] = look(
            looker, {"data": str(mount / "data"), "ledger": str(ledger.file), "seed": 1}
        )
    if "findings" not in said:
        report.faults.setdefault("unopened", []).append(f"{when}: {said}")
        return
    findings = said["findings"]
    for kind in (*FAULTS, *COMPLAINTS):
        for what in findings[kind]:
            report.faults.setdefault(kind, []).append(f"{when}: {what}")
    ledger.append({"kind": "seen", "live": findings["live"]})


def _sum_up(ledger: Ledger, report: DiskReport) -> None:
    history = read_history(ledger.entries())
    report.rounds += 1
    report.acknowledged_writes += history.acknowledged
    for reason, times in history.refused.items():
        report.refused[reason] = report.refused.get(reason, 0) + times
    shutil.copy(ledger.file, ledger.file.with_suffix(".last"))
    ledger.file.unlink()
