"""SIGKILL after SIGKILL on one data directory, and a comparison with the ledger after each."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.partition.crash_points import POINTS, PREPARED
from tests.chaos.partition.examination import COMPLAINTS, FAULTS
from tests.chaos.partition.history import read_history
from tests.chaos.partition.ledger import Ledger
from tests.chaos.partition.processes import LOOKER, PATIENCE_S, WRITER, Child, look
from tests.shard_service.material import IDENTITY

_REACH_S = 5.0
_LONGEST_S = 1.0
_OPENING_S = 0.4
_TRIES = 2


@dataclass
class KillReport:
    """What came of the kills. `faults`: what was wrong after them, by kind."""

    effective: int = 0
    idle: int = 0
    random: int = 0
    while_opening: int = 0
    at_points: dict[str, int] = field(default_factory=dict)
    unreached_points: list[str] = field(default_factory=list)
    unlisted_points: list[str] = field(default_factory=list)
    under_way: dict[str, int] = field(default_factory=dict)
    acknowledged_writes: int = 0
    unsettled_writes_found: int = 0
    unsettled_writes: int = 0
    longest_opening_s: float = 0.0
    snapshots_restored: int = 0
    snapshots_cut_off: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)

    def add_fault(self, kind: str, what: str) -> None:
        self.faults.setdefault(kind, []).append(what)


class KillCampaign:
    """Kills writers in `room` until `wanted` kills met work under way.

    What is wrong is kept in `room`/evidence-N: the directory as the kill left it, and the ledger.
    """

    def __init__(self, room: Path, seed: int) -> None:
        self._room = room
        self._random = random.Random(seed)
        self._seed = seed
        self._report = KillReport()
        self._emitted: set[str] = set()
        self._tries: dict[str, int] = {}
        self._runs = itertools.count(1)
        self._data = room / "data"

    def run(self, wanted: int) -> KillReport:
        hows = self._hows()
        with Ledger(self._room / "ledger.jsonl") as ledger:
            while self._report.effective < wanted and not self._hopeless(wanted):
                self._one(next(hows), ledger)
            self._report.acknowledged_writes = read_history(ledger.entries()).acknowledged
        report = self._report
        report.unreached_points = [point for point in POINTS if point not in report.at_points]
        report.unlisted_points = sorted(self._emitted - set(POINTS))
        return report

    def _hopeless(self, wanted: int) -> bool:
        tries = self._report.effective + self._report.idle + self._report.while_opening
        return tries > 3 * wanted + 20

    def _hows(self) -> Iterator[str]:
        points = itertools.cycle(POINTS)
        for number in itertools.count():
            if number % 8 == 7:
                yield "opening"
            elif number % 2:
                yield "random"
            else:
                yield next(
                    (
                        point
                        for point in itertools.islice(points, len(POINTS))
                        if self._worth(point)
                    ),
                    "random",
                )

    def _worth(self, point: str) -> bool:
        reached = point in self._emitted or point in self._report.at_points
        return reached or self._tries.get(point, 0) < _TRIES

    def _one(self, how: str, ledger: Ledger) -> None:
        run = next(self._runs)
        log = self._room / "children.log"
        history = read_history(ledger.entries())
        order: dict[str, Any] = {
            "data": str(self._data),
            "ledger": ledger.address,
            "snapshots": str(self._room / "snapshots"),
            "run": run,
            "first_version": max(1000, history.newest_version + 1),
            "seed": self._seed,
            "point": how if how in POINTS else "none",
            "occurrence": self._random.randint(1, POINTS.get(how, 1)),
        }
        store = self._data / "partitions" / IDENTITY.partition_id / "lmdb"
        if how in PREPARED and store.exists():
            PREPARED[how](store)
        with Child(WRITER, log) as writer, Child(LOOKER, log) as looker:
            writer.need("waiting")
            writer.tell(order)
            reached = self._killed(how, writer)
            ledger.note({"run": run, "killed": how})
            self._emitted.update(writer.said("point"))
            for failure in writer.said("failed"):
                self._report.add_fault("failed", f"run {run}: a thread of the writer: {failure}")
            busy = read_history(ledger.entries()).busy
            self._count(how, reached, busy)
            looker.need("ready")
            self._look(looker, run, how, ledger)

    def _killed(self, how: str, writer: Child) -> bool:
        """Kills the writer; tells whether it died by itself, where it should."""
        if how == "opening":
            writer.wait_end(self._random.uniform(0, _OPENING_S))
        else:
            ready = writer.wait_for(lambda: bool(writer.said("ready")), PATIENCE_S)
            if not ready and writer.process.poll() is None:
                self._report.add_fault("failed", "the writer did not open its partition in time")
            limit = self._random.uniform(0.02, _LONGEST_S) if how == "random" else _REACH_S
            writer.wait_end(limit)
        died = writer.process.poll()
        writer.kill()
        if how in POINTS:
            self._tries[how] = self._tries.get(how, 0) + 1
        return how in POINTS and died == -9

    def _count(self, how: str, reached: bool, busy: list[str]) -> None:
        report = self._report
        if reached:
            report.at_points[how] = report.at_points.get(how, 0) + 1
        elif how == "opening" and not busy:
            report.while_opening += 1
            return
        elif not busy:
            report.idle += 1
            return
        else:
            report.random += 1
        report.effective += 1
        for what in busy:
            report.under_way[what] = report.under_way.get(what, 0) + 1

    def _look(self, looker: Child, run: int, how: str, ledger: Ledger) -> None:
        before = self._room / "as-killed"
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(self._data, before)
        request = {"data": str(self._data), "ledger": str(ledger.file), "seed": self._seed + run}
        said = look(looker, {**request, "verify": True})
        faults = dict(said["findings"]) if "findings" in said else {}
        wrong = {kind: faults[kind] for kind in (*FAULTS, *COMPLAINTS) if faults.get(kind)}
        if "findings" not in said:
            wrong["unopened"] = [str(said)]
        for kind, whats in wrong.items():
            for what in whats:
                self._report.add_fault(kind, f"run {run}, {how}: {what}")
        if wrong:
            self._keep(before, run, ledger)
        if "unopened" in wrong:
            self._data = self._room / f"data-{run}"
            live: dict[str, int] = {}
        else:
            live = faults["live"]
            whole, cut_off = said["snapshots"]
            self._report.snapshots_restored += whole
            self._report.snapshots_cut_off += cut_off
            self._report.longest_opening_s = max(self._report.longest_opening_s, said["opened_s"])
        for writes in read_history(ledger.entries()).unsettled:
            self._report.unsettled_writes += len(writes)
            self._report.unsettled_writes_found += sum(
                kind == "put" and live.get(key) == version for kind, key, version in writes
            )
        ledger.append({"kind": "fresh"} if "unopened" in wrong else {"kind": "seen", "live": live})
        # What was cut off leaves things beside the destination.
        shutil.rmtree(self._room / "snapshots", ignore_errors=True)

    def _keep(self, before: Path, run: int, ledger: Ledger) -> None:
        evidence = self._room / f"evidence-{run}"
        evidence.mkdir()
        before.rename(evidence / "data")
        shutil.copy(ledger.file, evidence / "ledger.jsonl")
