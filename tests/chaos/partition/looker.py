"""The process that opens data directories and says what is in them; damage may end it.

`python -m tests.chaos.partition.looker` reads requests from standard input, one JSON line each, and
answers each with one. A request names `data`, and `ledger` or `truth` (image_id -> version, 0 for
none); `writes`: whether to write, too, once everything has been looked at; `verify`: whether the
closed directory must be intact afterwards; `verify_first`: whether to say what the offline check
finds before; `seed`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from patchsearch.errors import FailedPrecondition, PatchsearchError
from shard_service.integrity.verification import verify_data_directory
from shard_service.partition import Partition
from shard_service.shard import Shard
from tests.chaos.partition.examination import Findings, examine
from tests.chaos.partition.history import ABSENT, read_history
from tests.chaos.partition.ledger import read_entries
from tests.chaos.partition.restoration import compare_snapshots
from tests.chaos.partition.workload import options, photo_of
from tests.shard_service.material import FINGERPRINT, IDENTITY

_PROBES = 6


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What is to be said about one directory."""
    rng = np.random.default_rng(request["seed"])
    history, snapshots = None, (0, 0)
    if "ledger" in request:
        entries = read_entries(Path(request["ledger"]))
        history = read_history(entries)
        allowed, newest = history.allowed, history.newest_version
    else:
        allowed = {key: {version} for key, version in request["truth"].items()}
        newest = max(request["truth"].values())
    verified = _damages(request["data"]) if request.get("verify_first") else []
    started = time.monotonic()
    shard = Shard(Path(request["data"]), options(sealing=False))
    try:
        shard.open()
        partition = shard.partition(IDENTITY.partition_id)
    except PatchsearchError as error:
        shard.close()
        return {"unopened": f"{error.reason}: {error}", "verified": verified}
    opened_s = time.monotonic() - started
    try:
        findings = examine(partition, allowed, rng)
        if history is not None:
            findings.torn += history.torn_calls(findings.live)
            findings.wrong += history.violations
            _probe_old_writes(partition, sorted(history.acknowledged_ids), findings, rng)
            snapshots = compare_snapshots(entries, findings, rng)
        said: dict[str, Any] = {
            "findings": findings.as_json(),
            "opened_s": opened_s,
            "snapshots": snapshots,
            "verified": verified,
        }
        if request.get("writes"):
            said["after_writes"] = _written(partition, allowed, findings, newest, rng).as_json()
    finally:
        shard.close()
    if request.get("verify"):
        told = [f"verify finds {damage}" for damage in _damages(request["data"])]
        said["findings"]["wrong"] += told
    return said


def _damages(data: str) -> list[str]:
    """What the offline check finds wrong in a closed data directory, in words."""
    return [
        f"{one.place} {one.image_id!r}: {one.detail}"
        for report in verify_data_directory(Path(data))
        for one in report.damages
    ]


def _probe_old_writes(
    partition: Partition, keys: list[str], findings: Findings, rng: np.random.Generator
) -> None:
    """An older write of an image, or of one that was deleted, must change nothing."""
    for key in rng.choice(keys, min(_PROBES, len(keys)), replace=False).tolist():
        if partition.put([photo_of(key, 1)], FINGERPRINT) != [False]:
            findings.wrong.append(f"an old write of {key} was taken")


def _written(
    partition: Partition,
    allowed: dict[str, set[int]],
    findings: Findings,
    newest: int,
    rng: np.random.Generator,
) -> Findings:
    """Writes new images, replaces and deletes some, seals, and looks at everything again.

    Damage that no answer showed may come out when pages are used again.
    """
    truth = {key: set(versions) for key, versions in allowed.items()}
    replaced = {*rng.choice(sorted(truth), 20, replace=False).tolist(), *findings.reported}
    puts = [f"new/{number}" for number in range(30)] + sorted(replaced)
    deletes = rng.choice(sorted(truth), 10, replace=False).tolist()
    refusal = ""
    for version, key in enumerate(puts + deletes, newest + 1):
        outcome = version if version <= newest + len(puts) else ABSENT
        truth.setdefault(key, {ABSENT}).add(outcome)
        try:
            if outcome:
                partition.put([photo_of(key, version)], FINGERPRINT)
            else:
                partition.delete([key], version)
        except PatchsearchError as error:
            # A store that knows that it is damaged may refuse.
            refusal = f"write: {error}"
            continue
        truth[key] = {outcome}
    try:
        partition.seal()
    except FailedPrecondition:
        # Too small to train.
        pass
    except PatchsearchError as error:
        refusal = f"seal: {error}"
    later = examine(partition, truth, rng)
    later.refused += [refusal] if refusal else []
    return later


def main() -> None:
    # Answers go to standard output alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
