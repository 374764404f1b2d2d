"""Damages files of a closed partition at random; no answer may be wrong when it opens again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shard_service.shard import Shard
from tests.chaos.partition.damage import Damage, damage_one, files_by_kind
from tests.chaos.partition.examination import FAULTS
from tests.chaos.partition.history import ABSENT
from tests.chaos.partition.processes import LOOKER, Child, look
from tests.chaos.partition.workload import options, photo_of
from tests.shard_service.material import FINGERPRINT, IDENTITY

# One looker opens a few directories: damage that spoils a process may show in the next one.
_DIRECTORIES_A_LOOKER = 8
_STORE_SHARE = 0.3
_STORE = "lmdb/data.mdb"
_IMAGES = 260
_EXAMPLES = 8

OUTCOMES = ("detected", "harmless", "missed")


@dataclass
class CorruptionReport:
    """How the damages ended, `harmless` where the bytes are not used by anything.

    `missed`: a wrong answer, something gone that nothing reported, or a process that ended.
    `by_verify_alone`: of the detected ones those that only the offline check found: no answer used
    the bytes.
    `images_reported`: images that were said to be damaged, all together; `images_unnamed`: images
    that are gone where damage was reported, but not for them by name. `unopened`: of the detected
    ones those after which the partition did not open; `refusing`: those after which some call
    answered an error instead of what was whole, `refusals` a few of these.
    """

    done: int = 0
    detected: int = 0
    harmless: int = 0
    by_verify_alone: int = 0
    images_reported: int = 0
    images_unnamed: int = 0
    unopened: int = 0
    refusing: int = 0
    refusals: list[str] = field(default_factory=list)
    missed: list[dict[str, Any]] = field(default_factory=list)
    by_kind: dict[str, dict[str, int]] = field(default_factory=dict)
    by_way: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, damage: Damage, kind: str, outcome: str) -> None:
        self.done += 1
        for table, key in ((self.by_kind, kind), (self.by_way, damage.way)):
            row = table.setdefault(key, dict.fromkeys(OUTCOMES, 0))
            row[outcome] += 1


class CorruptionCampaign:
    """Damages copies of one whole partition with several segments, deletions and growing rows."""

    def __init__(self, room: Path, seed: int) -> None:
        self._room = room
        self._chance = random.Random(seed)
        self._seed = seed
        self._whole = room / "whole"
        self._truth = _filled(self._whole, seed)
        self._kinds = sorted(files_by_kind(self._whole))

    def run(
        self, wanted: int, *, kinds: Callable[[str], bool] = lambda kind: True
    ) -> CorruptionReport:
        """Damages `wanted` files of the kinds that `kinds` lets through, each kind as often."""
        report = CorruptionReport()
        chosen = [kind for kind in self._kinds if kinds(kind)]
        others = [kind for kind in chosen if kind != _STORE]
        while report.done < wanted:
            with ExitStack() as held:
                log = self._room / "looker.log"
                log.unlink(missing_ok=True)
                looker = held.enter_context(Child(LOOKER, log))
                looker.need("ready")
                for _ in range(min(_DIRECTORIES_A_LOOKER, wanted - report.done)):
                    store = _STORE in chosen and (
                        not others or self._chance.random() < _STORE_SHARE
                    )
                    kind = _STORE if store else others[report.done % len(others)]
                    if not self._one(kind, looker, report):
                        break
        return report

    def _one(self, kind: str, looker: Child, report: CorruptionReport) -> bool:
        """One damage; whether the looker is still there."""
        data = self._room / "damaged"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self._whole, data)
        damage = damage_one(data, kind, self._chance)
        # Opening mends; what is missed is kept as it was.
        kept = self._room / f"damaged-{report.done}"
        shutil.copytree(data, kept)
        log_at = looker.log.stat().st_size
        request = {
            "data": str(data),
            "truth": self._truth,
            "writes": True,
            "verify_first": True,
            "seed": self._seed + report.done,
        }
        said = look(looker, request)
        logged = looker.log.read_bytes()[log_at:].decode(errors="replace")
        outcome, why = _judged(said, logged)
        report.count(damage, kind, outcome)
        if outcome == "missed":
            report.missed.append({**asdict(damage), "why": why, "kept": str(kept)})
        else:
            shutil.rmtree(kept)
            report.detected += outcome == "detected"
            report.harmless += outcome == "harmless"
            report.by_verify_alone += outcome == "detected" and not _told(said, logged)
            report.refusing += bool(_refused(said))
            report.refusals += _refused(said)[: max(0, _EXAMPLES - len(report.refusals))]
            report.unopened += "unopened" in said
            if "findings" in said:
                report.images_reported += len(said["findings"]["reported"])
                report.images_unnamed += len(said["findings"]["lost"])
        return "crashed" not in said


def _judged(said: dict[str, Any], logged: str) -> tuple[str, list[str]]:
    if "crashed" in said:
        return "missed", [f"the process that opened it ended: {said['crashed']}", *_last(logged)]
    if "unopened" in said:
        typed = said["unopened"].startswith(("STORE_CORRUPT", "FORMAT_UNKNOWN"))
        return ("detected" if typed else "missed"), [said["unopened"]]
    reported = _told(said, logged)
    wrong = []
    for when in ("findings", "after_writes"):
        # What is gone may be gone without its name, as long as somebody says that something is.
        kinds = [kind for kind in FAULTS if kind != "lost" or not reported]
        wrong += [f"{when}, {kind}: {what}" for kind in kinds for what in said[when][kind][:3]]
    if wrong:
        return "missed", wrong
    return ("detected" if reported or said["verified"] else "harmless"), []


def _told(said: dict[str, Any], logged: str) -> bool:
    """Whether the partition itself said that something is wrong."""
    if "unopened" in said:
        return True
    before = said["findings"]
    complains = any(word in before["activity"] for word in ("damaged", "failed"))
    return bool(before["reported"]) or complains or bool(_refused(said)) or "[error" in logged


def _refused(said: dict[str, Any]) -> list[str]:
    if "unopened" in said:
        return [said["unopened"]]
    return [*said["findings"]["refused"], *said["after_writes"]["refused"]]


def _last(logged: str) -> list[str]:
    return logged.splitlines()[-3:]


def _filled(data: Path, seed: int) -> dict[str, int]:
    """A closed data directory; image_id -> version, ABSENT for what was deleted."""
    rng = np.random.default_rng(seed)
    truth: dict[str, int] = {}
    shard = Shard(data, options(sealing=False))
    shard.open()
    shard.create(IDENTITY)
    partition = shard.partition(IDENTITY.partition_id)
    version = 1000

    def put(keys: list[str]) -> None:
        nonlocal version
        for at in range(0, len(keys), 20):
            batch = keys[at : at + 20]
            partition.put(
                [photo_of(key, version + place) for place, key in enumerate(batch)], FINGERPRINT
            )
            truth.update({key: version + place for place, key in enumerate(batch)})
            version += len(batch)

    ids = [f"photo/{number:03}" for number in range(_IMAGES)]
    try:
        put(ids[:140])
        partition.seal()
        put(ids[140:220])
        put(rng.choice(ids[:140], 15, replace=False).tolist())
        partition.seal()
        put(ids[220:])
        put(rng.choice(ids[:220], 15, replace=False).tolist())
        gone = rng.choice(ids, 25, replace=False).tolist()
        version += 1
        partition.delete(gone, version)
        truth.update(dict.fromkeys(gone, ABSENT))
    finally:
        shard.close()
    return truth
