"""Power loss: what the disk under a writer holds at some moment, and nothing of the page cache.

The control runs without fsync and must lose acknowledged writes; else the test proves nothing.
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.partition.disks import copied_as_it_is, mounted, new_image
from tests.chaos.partition.examination import COMPLAINTS, FAULTS
from tests.chaos.partition.history import ABSENT, read_history
from tests.chaos.partition.ledger import Ledger
from tests.chaos.partition.processes import LOOKER, WRITER, Child, look

_MEGABYTES = 200
_LONGEST_S = 2.0


@dataclass
class PowerLossReport:
    """`effective` losses met work under way; `control_lost`: images lost without fsync."""

    skipped: str = ""
    losses: int = 0
    effective: int = 0
    acknowledged_writes: int = 0
    control_runs: int = 0
    control_lost: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)


def lose_power(room: Path, losses: int, seed: int, report: PowerLossReport) -> None:
    """Cuts the power `losses` times in the life of one partition."""
    chance = random.Random(seed)
    image = new_image(room / "disk-0", _MEGABYTES)
    with Ledger(room / "power.jsonl") as ledger:
        for loss in range(1, losses + 1):
            after, busy = _cut(room, image, loss, chance, ledger, {})
            image.unlink()
            image = after
            said = _look(room, image, seed + loss, ledger)
            report.losses += 1
            report.effective += bool(busy)
            for kind, whats in _faults(said).items():
                told = [f"power loss {loss}: {what}" for what in whats]
                report.faults.setdefault(kind, []).extend(told)
            if "findings" not in said:
                return
            ledger.append({"kind": "seen", "live": said["findings"]["live"]})
        report.acknowledged_writes += read_history(ledger.entries()).acknowledged


def lose_power_without_fsync(room: Path, runs: int, seed: int, report: PowerLossReport) -> None:
    """The control: the same with `durable=False`, which must lose something."""
    chance = random.Random(seed)
    for run in range(1, runs + 1):
        image = new_image(room / f"control-{run}", _MEGABYTES)
        with Ledger(room / f"control-{run}.jsonl") as ledger:
            after, _ = _cut(room, image, 1000 + run, chance, ledger, {"durable": False})
            said = _look(room, after, seed + run, ledger)
            allowed = read_history(ledger.entries()).allowed
        live = said["findings"]["live"] if "findings" in said else {}
        report.control_runs += 1
        report.control_lost += sum(live.get(key, ABSENT) not in may for key, may in allowed.items())


def _cut(
    room: Path,
    image: Path,
    run: int,
    chance: random.Random,
    ledger: Ledger,
    options: dict[str, Any],
) -> tuple[Path, list[str]]:
    """Lets a writer work on `image` for a while; the disk as it then was, and what went on."""
    after = room / f"disk-{run}"
    mount = room / "mount"
    order = {
        "data": str(mount / "data"),
        "ledger": ledger.address,
        "run": run,
        "first_version": max(1000, read_history(ledger.entries()).newest_version + 1),
        "seed": run,
        "point": "none",
        "occurrence": 1,
        "options": options,
    }
    with ExitStack() as held:
        device = held.enter_context(mounted(image, mount))
        writer = held.enter_context(Child(WRITER, room / "children.log"))
        writer.tell(order)
        writer.need("ready")
        time.sleep(chance.uniform(0.3, _LONGEST_S))
        # Whoever is stopped acknowledges nothing while the disk is copied.
        writer.process.send_signal(signal.SIGSTOP)
        ledger.note({"run": run, "power": "off"})
        copied_as_it_is(image, device, after)
        busy = read_history(ledger.entries()).busy
    return after, busy


def _look(room: Path, image: Path, seed: int, ledger: Ledger) -> dict[str, Any]:
    mount = room / "mount"
    with ExitStack() as held:
        held.enter_context(mounted(image, mount))
        looker = held.enter_context(Child(LOOKER, room / "children.log"))
        looker.need("ready")
        request = {"data": str(mount / "data"), "ledger": str(ledger.file), "seed": seed}
        return look(looker, request)


def _faults(said: dict[str, Any]) -> dict[str, list[str]]:
    if "findings" not in said:
        return {"unopened": [str(said)]}
    found = said["findings"]
    return {kind: found[kind] for kind in (*FAULTS, *COMPLAINTS) if found[kind]}
