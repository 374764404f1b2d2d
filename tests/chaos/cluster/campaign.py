"""The campaign: nemeses one after another under load, and a judgement at the end."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from patchsearch.v1 import search_service_pb2 as pb
from tests.chaos.cluster.history import History
from tests.chaos.cluster.judge import Verdict, judge, wait_converged
from tests.chaos.cluster.load import Anchors, Findings, Load
from tests.chaos.cluster.nemeses import NEMESES, OperationFailed, small_disks
from tests.chaos.cluster.world import Shape, World, running_world

_ANCHORS = 300
_CONVERGED_S = 60.0
_QUIET_S = 0.5


@dataclass(frozen=True)
class Extent:
    """How often each nemesis strikes, by name."""

    rounds: Mapping[str, int]
    shape: Shape


@dataclass
class Strikes:
    """What one kind of nemesis did to callers."""

    done: int = 0
    effective: int = 0
    """Searches and writes were under way; with a full disk: some writes were refused for it."""
    searches: int = 0
    failed: int = 0
    degraded: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """Writes that were not acknowledged, by what shards said of them."""
    heal_s: list[float] = field(default_factory=list)
    """Until all replicas were equal again, the load going on."""


@dataclass
class Report:
    """Everything that was found."""

    seed: int
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    strikes: dict[str, Strikes] = field(default_factory=dict)
    searches: int = 0
    degraded: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    late: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    acknowledged: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    """Operators' commands that failed, replicas that did not become equal, threads that died."""
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        return [
            *(f"wrong answer: {one}" for one in self.wrong),
            *self.trouble,
            *self.verdict.faults,
        ]


def run_campaign(room: Path, extent: Extent, seed: int, tell: Callable[[str], None]) -> Report:
    """Runs every nemesis its number of times, in a random order that `seed` decides."""
    report = Report(seed)
    began = time.monotonic()
    room.mkdir(parents=True, exist_ok=True)
    names = [f"shard-{i}" for i in range(extent.shape.shards)]
    order = [name for name, times in extent.rounds.items() for _ in range(times)]
    chance = random.Random(seed)
    chance.shuffle(order)
    wants_disks = bool(extent.rounds.get("disk-full"))
    with (
        small_disks(room, names if wants_disks else []) as disks,
        running_world(room, extent.shape) as world,
    ):
        if wants_disks and not disks:
            report.skipped.append("disk-full: mounting a small disk needs root")
            order = [name for name in order if name != "disk-full"]
        anchors = Anchors(_ANCHORS)
        stored = list(world.router_stub(0).IngestImages(iter(anchors.requests()), timeout=120))
        if any(one.outcome != pb.INGEST_OUTCOME_STORED for one in stored):
            raise AssertionError(f"the first images were not stored: {stored[:3]}")
        history = History(room / "ledger.jsonl")
        world.refused_for_disk = lambda: history.shards_said.get("DISK_FULL", 0)
        _under_load(report, world, history, anchors, order, chance, tell)
        tell("healing")
        if wait_converged(world, _CONVERGED_S) is None:
            report.trouble.append(f"replicas are not equal {_CONVERGED_S:g} s after the load ended")
        tell("judging")
        report.verdict = judge(world, history, anchors)
        report.acknowledged, report.refused = history.acknowledged, dict(history.refused)
        history.close()
    report.seconds = time.monotonic() - began
    return report


def _under_load(
    report: Report,
    world: World,
    history: History,
    anchors: Anchors,
    order: list[str],
    chance: random.Random,
    tell: Callable[[str], None],
) -> None:
    stubs = [world.router_stub(i) for i in range(len(world.routers))]

    def partitions_of() -> dict[str, str]:
        placement = world.placement
        return {i: placement.partition_of(i).id for i in anchors.ids}

    with Load(
        stubs, history, anchors, partitions_of, report.seed, large_writes=world.large_writes
    ) as load:
        for number, name in enumerate(order):
            tell(f"{number + 1}/{len(order)} {name}")
            time.sleep(_QUIET_S)
            _strike(report, world, load, history, name, chance)
        time.sleep(_QUIET_S)
    found = load.findings
    report.searches, report.degraded, report.late = found.searches, found.degraded, found.late
    report.failed, report.wrong = dict(found.failed), found.wrong
    report.trouble += found.defects
    if found.seconds:
        report.p50_ms, report.p99_ms = (
            float(v) * 1e3 for v in np.percentile(found.seconds, (50, 99))
        )


def _strike(
    report: Report,
    world: World,
    load: Load,
    history: History,
    name: str,
    chance: random.Random,
) -> None:
    found = load.findings
    before = _counts(found)
    writes = history.acknowledged + sum(history.refused.values())
    said = Counter(history.shards_said)
    try:
        NEMESES[name](world, chance)
    except OperationFailed as failure:
        report.trouble.append(str(failure))
    healed = wait_converged(world, _CONVERGED_S)
    if healed is None and not report.trouble:
        report.trouble.append(f"replicas did not become equal after {name}, the load going on")
    after = _counts(found)
    strikes = report.strikes.setdefault(name, Strikes())
    searches, failed, degraded = (b - a for a, b in zip(before, after, strict=True))
    refused = Counter(history.shards_said) - said
    strikes.done += 1
    met = searches > 0 and history.acknowledged + sum(history.refused.values()) > writes
    strikes.effective += met and (name != "disk-full" or refused["DISK_FULL"] > 0)
    strikes.refused = dict(Counter(strikes.refused) + refused)
    strikes.searches += searches
    strikes.failed += failed
    strikes.degraded += degraded
    if healed is not None:
        strikes.heal_s.append(round(healed, 2))


def _counts(found: Findings) -> tuple[int, int, int]:
    """Searches, failed and degraded ones so far."""
    with found.lock:
        return found.searches, sum(found.failed.values()), found.degraded
