"""`python -m tests.chaos.cluster`: the whole campaign, a table, and an exit status."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.cluster.campaign import Extent, run_campaign
from tests.chaos.cluster.nemeses import NEMESES
from tests.chaos.cluster.summary import as_json, table
from tests.chaos.cluster.world import Shape


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make chaos-cluster", description=__doc__)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--rounds", type=int, default=2, help="of every other nemesis")
    arguments.add_argument("--only", nargs="*", choices=sorted(NEMESES), help="these alone")
    arguments.add_argument("--replicas", type=int, default=2)
    arguments.add_argument("--shards", type=int, default=3)
    arguments.add_argument("--partitions", type=int, default=6)
    arguments.add_argument("--skew-s", type=float, default=2.0, help="of the second router's clock")
    arguments.add_argument("--seed", type=int, default=None, help="default: another each time")
    arguments.add_argument("--json", type=Path, default=None, help="where the report goes")
    arguments.add_argument("--room", type=Path, default=None, help="a directory that is kept")
    chosen = arguments.parse_args()
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    room = chosen.room or Path(tempfile.mkdtemp(prefix="chaos-cluster-"))
    names = chosen.only or list(NEMESES)
    rounds = {name: chosen.kills if name == "kill" else chosen.rounds for name in names}
    shape = Shape(chosen.shards, chosen.partitions, chosen.replicas, skew_s=chosen.skew_s)
    report = run_campaign(
        room, Extent(rounds, shape), seed, lambda part: print(f"... {part}", flush=True)
    )
    print(table(report))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(as_json(report), indent=2) + "\n", encoding="utf-8")
    for fault in report.faults[:50]:
        print(fault)
    if report.faults:
        print(f"logs and ledger are kept in {room}")
        return 1
    if chosen.room is None:
        shutil.rmtree(room)
    return 0


if __name__ == "__main__":
    sys.exit(main())
