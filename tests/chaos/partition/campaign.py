"""All parts of the campaign, one after the other, each in a directory of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.partition.corruptions import CorruptionCampaign, CorruptionReport
from tests.chaos.partition.disk_faults import DiskReport, fail_fsync, fill_disk
from tests.chaos.partition.disks import why_no_disks
from tests.chaos.partition.kills import KillCampaign, KillReport
from tests.chaos.partition.power_loss import (
    PowerLossReport,
    lose_power,
    lose_power_without_fsync,
)


@dataclass(frozen=True)
class Extent:
    """How much of each; 0 leaves a part out."""

    kills: int
    corruptions: int
    power_losses: int
    control_runs: int
    disk_faults: int


@dataclass
class Report:
    """What came of a campaign."""

    seed: int
    kills: KillReport = field(default_factory=KillReport)
    power: PowerLossReport = field(default_factory=PowerLossReport)
    disks: DiskReport = field(default_factory=DiskReport)
    corruptions: CorruptionReport = field(default_factory=CorruptionReport)
    took_s: dict[str, float] = field(default_factory=dict)


def run_campaign(room: Path, extent: Extent, seed: int, tell: Callable[[str], None]) -> Report:
    """Runs it in `room`, which must exist; `tell` hears which part begins."""
    report = Report(seed)
    no_disks = why_no_disks() if extent.power_losses or extent.disk_faults else ""
    report.power.skipped = report.disks.skipped = no_disks

    def part(name: str, work: Callable[[Path], None]) -> None:
        tell(name)
        started = time.monotonic()
        inner = room / name.replace(" ", "-")
        inner.mkdir()
        work(inner)
        report.took_s[name] = time.monotonic() - started

    def kill(inner: Path) -> None:
        report.kills = KillCampaign(inner, seed).run(extent.kills)

    def cut_power(inner: Path) -> None:
        lose_power(inner, extent.power_losses, seed, report.power)
        lose_power_without_fsync(inner, extent.control_runs, seed, report.power)

    def disturb_disks(inner: Path) -> None:
        for _ in range(extent.disk_faults):
            fill_disk(inner, report.disks, killed_while_full=False)
            fill_disk(inner, report.disks, killed_while_full=True)
            fail_fsync(inner, report.disks)

    def corrupt(inner: Path) -> None:
        report.corruptions = CorruptionCampaign(inner, seed).run(extent.corruptions)

    if extent.kills:
        part("kills", kill)
    if extent.power_losses and not no_disks:
        part("power losses", cut_power)
    if extent.disk_faults and not no_disks:
        part("disk faults", disturb_disks)
    if extent.corruptions:
        part("corruptions", corrupt)
    return report
