"""A report in words: a table of what was done, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tests.chaos.partition.campaign import Report
from tests.chaos.partition.examination import COMPLAINTS, FAULTS

_SHOWN = 5


def faults_of(report: Report) -> list[str]:
    """Everything that makes the campaign fail, in words; empty when all is well."""
    faults = []
    for part, found in (
        ("kills", report.kills.faults),
        ("power losses", report.power.faults),
        ("disk faults", report.disks.faults),
    ):
        for kind, whats in found.items():
            shown = [*whats[:_SHOWN], f"and {len(whats) - _SHOWN} more"][: len(whats)]
            faults += [f"{part}: {kind}: {what}" for what in shown]
    for missed in report.corruptions.missed:
        faults.append(
            f"corruptions: missed: {missed['way']} {missed['file']} {missed['details']}: "
            f"{'; '.join(missed['why'])}"
        )
    power = report.power
    if power.control_runs and not power.control_lost:
        faults.append("power losses: the control without fsync lost nothing, so they prove nothing")
    return faults


def as_json(report: Report) -> dict[str, Any]:
    """The report, with a count for each kind of fault, those that were not found too."""
    content = asdict(report)
    for part in ("kills", "power", "disks"):
        faults = content[part]["faults"]
        content[part]["counts"] = {
            kind: len(faults.get(kind, ())) for kind in (*FAULTS, *COMPLAINTS, *sorted(faults))
        }
    content["corruptions"]["counts"] = {
        "detected": report.corruptions.detected,
        "harmless": report.corruptions.harmless,
        "missed": len(report.corruptions.missed),
    }
    return content


def table(report: Report) -> str:
    """What was done and found, one line each."""
    rows = list(_rows(report))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _rows(report: Report) -> Iterator[tuple[str, object]]:
    kills, power, disks, damage = report.kills, report.power, report.disks, report.corruptions
    yield "seed", report.seed
    if "kills" in report.took_s:
        at_points = ", ".join(f"{point} {times}" for point, times in kills.at_points.items())
        yield "kills that met work", kills.effective
        yield "  at random times", kills.random
        yield "  at crash points", at_points or "none"
        yield "  points never reached", ", ".join(kills.unreached_points) or "none"
        yield "  points not in the list", ", ".join(kills.unlisted_points) or "none"
        yield "  not counted", f"{kills.idle} idle, {kills.while_opening} while opening"
        yield "  acknowledged writes", kills.acknowledged_writes
        yield (
            "  unanswered writes",
            f"{kills.unsettled_writes}, {kills.unsettled_writes_found} stored",
        )
        whole, cut_off = kills.snapshots_restored, kills.snapshots_cut_off
        yield "  snapshots restored", f"{whole}, {cut_off} cut off"
        yield "  longest opening", f"{kills.longest_opening_s:.2f} s"
        yield "  wrong", _counts(kills.faults)
    if power.skipped:
        yield "power losses, disk faults", f"skipped: {power.skipped}"
    if "power losses" in report.took_s:
        yield "power losses", f"{power.losses}, {power.effective} met work"
        yield "  acknowledged writes", power.acknowledged_writes
        yield "  wrong", _counts(power.faults)
        lost = f"{power.control_lost} acknowledged images lost in {power.control_runs} runs"
        yield "  control without fsync", lost
    if "disk faults" in report.took_s:
        yield "disk faults", f"{disks.rounds} rounds"
        yield "  writes refused", _each(disks.refused)
        searches = f"{disks.searches_while_full} while full, "
        searches += f"{disks.searches_while_fsync_fails} while fsync failed"
        yield "  searches answered", f"{searches}, {disks.searches_refused} refused"
        yield "  wrong", _counts(disks.faults)
    if "corruptions" in report.took_s:
        yield "corruptions", damage.done
        yield "  detected", damage.detected
        yield "  by the offline check alone", damage.by_verify_alone
        yield "  harmless", damage.harmless
        yield "  missed", len(damage.missed)
        yield "  images reported", f"{damage.images_reported}, {damage.images_unnamed} unnamed"
        yield "  not opened", damage.unopened
        yield "  some call refused", damage.refusing
        for kind, outcomes in sorted(damage.by_kind.items()):
            yield f"    {kind}", _each(outcomes)
        for way, outcomes in sorted(damage.by_way.items()):
            yield f"    {way}", _each(outcomes)
    yield "took", ", ".join(f"{part} {seconds:.0f} s" for part, seconds in report.took_s.items())


def _counts(faults: dict[str, list[str]]) -> str:
    return _each({kind: len(whats) for kind, whats in faults.items()}) or "nothing"


def _each(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {times}" for name, times in counts.items() if times)
