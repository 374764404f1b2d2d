"""`python -m tests.chaos.partition`: the whole campaign, a table, and an exit status."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import structlog

from tests.chaos.partition.campaign import Extent, run_campaign
from tests.chaos.partition.summary import as_json, faults_of, table


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make chaos-partition", description=__doc__)
    arguments.add_argument("--kills", type=int, default=30, help="that meet work under way")
    arguments.add_argument("--corruptions", type=int, default=100)
    arguments.add_argument("--power-losses", type=int, default=5)
    arguments.add_argument("--disk-faults", type=int, default=1, help="rounds of each kind")
    arguments.add_argument("--seed", type=int, default=None, help="default: another each time")
    arguments.add_argument("--json", type=Path, default=None, help="where the report goes")
    arguments.add_argument("--room", type=Path, default=None, help="a directory that is kept")
    chosen = arguments.parse_args()
    # The table stands alone on standard output.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    room = chosen.room or Path(tempfile.mkdtemp(prefix="chaos-partition-"))
    room.mkdir(parents=True, exist_ok=True)
    extent = Extent(chosen.kills, chosen.corruptions, chosen.power_losses, 2, chosen.disk_faults)
    report = run_campaign(room, extent, seed, lambda part: print(f"... {part}", flush=True))
    print(table(report))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(as_json(report), indent=2) + "\n", encoding="utf-8")
    faults = faults_of(report)
    for fault in faults:
        print(fault)
    if faults:
        print(f"what was found is kept in {room}")
        return 1
    if chosen.room is None:
        shutil.rmtree(room)
    return 0


if __name__ == "__main__":
    sys.exit(main())
