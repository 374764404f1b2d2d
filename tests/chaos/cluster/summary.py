"""The report as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import Any

from tests.chaos.cluster.campaign import Report


def table(report: Report) -> str:
    """What happened, nemesis by nemesis, and what the end was."""
    lines = [
        f"{'nemesis':<10} {'done':>5} {'effective':>9} {'searches':>9} {'failed':>7} "
        f"{'degraded':>9} {'equal again after s (median, worst)':>36}"
    ]
    for name, strikes in sorted(report.strikes.items()):
        heal = strikes.heal_s
        healed = f"{median(heal):.1f}, {max(heal):.1f}" if heal else "never"
        lines.append(
            f"{name:<10} {strikes.done:>5} {strikes.effective:>9} {strikes.searches:>9} "
            f"{strikes.failed:>7} {strikes.degraded:>9} {healed:>36}"
        )
    verdict = report.verdict
    lines += [
        f"searches {report.searches}, degraded {report.degraded}, failed {report.failed or 0}, "
        f"over the deadline by more than 20 ms {report.late}, "
        f"p50 {report.p50_ms:.1f} ms, p99 {report.p99_ms:.1f} ms",
        f"writes acknowledged {report.acknowledged}, refused {report.refused or 0}",
        f"in the end {verdict.images} images, {verdict.records} records compared byte by byte: "
        f"lost {len(verdict.lost)}, phantom {len(verdict.phantom)}, torn {len(verdict.torn)}, "
        f"unequal {len(verdict.unequal)}, overtaken {len(verdict.overtaken)}, "
        f"wrong answers {len(verdict.answers) + len(report.wrong)}",
        *(
            f"{name}: writes refused as shards said {said} {count}"
            for name, strikes in sorted(report.strikes.items())
            for said, count in sorted(strikes.refused.items())
            if said == "DISK_FULL"
        ),
        *(f"skipped {one}" for one in report.skipped),
        f"seed {report.seed}, {report.seconds:.0f} s",
    ]
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain data."""
    return {**asdict(report), "faults": report.faults}
