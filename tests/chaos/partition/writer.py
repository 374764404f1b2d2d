"""The process that is killed: four threads write, one maintains, one searches, all the time.

`python -m tests.chaos.partition.writer` waits for one JSON line on its standard input (so that its
imports are done by then), works until it is killed, and ends when that input does. The line says
`data`, `ledger` (an address), `snapshots` (a directory, if any are to be taken), `run`,
`first_version`, `seed`, `point` and `occurrence` of a crash, `options` of the partition. It prints
JSON lines: {"waiting"}, {"ready"}, {"point"}, {"searches"}, {"refused"}, {"search_refused"},
{"maintenance"} and {"failed"}.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from patchsearch.errors import FailedPrecondition, PatchsearchError, Unavailable
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.shard import Shard
from tests.chaos.partition.crash_points import listen
from tests.chaos.partition.facts import CONDITIONS, facts_of
from tests.chaos.partition.ledger import LedgerClient
from tests.chaos.partition.workload import WRITERS, options, own_ids, photo_of, shared_ids
from tests.shard_service.material import DIM, FINGERPRINT, IDENTITY, units

_PAUSE_AFTER_REFUSAL_S = 0.05


class Work:
    """What the threads of one writer share."""

    def __init__(self, order: dict[str, Any], partition: Partition) -> None:
        self.order = order
        self.partition = partition
        self._versions = count(int(order["first_version"]))
        self._taking = threading.Lock()
        self._saying = threading.Lock()

    def version(self) -> int:
        """Newer than any before it."""
        with self._taking:
            return next(self._versions)

    def say(self, message: dict[str, Any]) -> None:
        with self._saying:
            print(json.dumps(message), flush=True)

    def start(self, loop: Callable[[], None]) -> None:
        """Runs `loop` for ever; what it raises ends the process, loudly."""

        def run() -> None:
            try:
                while True:
                    loop()
            except BaseException as error:
                traceback.print_exception(error)
                self.say({"failed": f"{type(error).__name__}: {error}"})
                os._exit(70)

        threading.Thread(target=run, daemon=True).start()


class Writer:
    """One thread's writes; it knows what must be read back of the ids that are its own."""

    def __init__(self, work: Work, number: int) -> None:
        self._work = work
        self._partition = work.partition
        self._ledger = LedgerClient(work.order["ledger"])
        self._random = random.Random(f"{work.order['seed']}/{work.order['run']}/{number}")
        self._number = number
        self._calls = count()
        self._own = own_ids(number)
        self._shared = shared_ids()
        self._mine: dict[str, int] = {}

    def step(self) -> None:
        kind = self._random.random()
        if kind < 0.2:
            keys = self._keys(2)
            version = self._work.version()
            writes = [("delete", key, version) for key in keys]
            self._call(writes, lambda: self._partition.delete(keys, version))
        elif kind < 0.3 and self._mine:
            # A replay of what was acknowledged: it must change nothing.
            key = self._random.choice(sorted(self._mine))
            version = self._mine[key]
            replay = [photo_of(key, version)]
            self._call([("put", key, version)], lambda: self._partition.put(replay, FINGERPRINT))
        else:
            keys = self._keys(3)
            writes = [("put", key, self._work.version()) for key in keys]
            photos = [photo_of(key, version) for _, key, version in writes]
            if self._call(writes, lambda: self._partition.put(photos, FINGERPRINT)):
                self._read_back(keys[0])

    def _keys(self, most: int) -> list[str]:
        pool = self._own if self._random.random() < 0.7 else self._shared
        return self._random.sample(pool, self._random.randint(1, most))

    def _call(self, writes: list[tuple[str, str, int]], call: Callable[[], list[bool]]) -> bool:
        name = f"{self._work.order['run']}/{self._number}/{next(self._calls)}"
        self._ledger.append({"kind": "intent", "call": name, "writes": writes})
        try:
            applied = call()
        except PatchsearchError as error:
            self._ledger.append({"kind": "refused", "call": name, "reason": error.reason})
            self._work.say({"refused": error.reason, "why": error.message})
            for _, key, _ in writes:
                self._mine.pop(key, None)
            time.sleep(_PAUSE_AFTER_REFUSAL_S)
            return False
        self._ledger.append({"kind": "ack", "call": name, "applied": applied})
        for kind, key, version in writes:
            if kind == "put" and key in self._own:
                self._mine[key] = version
            else:
                self._mine.pop(key, None)
        return True

    def _read_back(self, key: str) -> None:
        """What was acknowledged is found from then on."""
        version = self._mine.get(key)
        if version is None or len(photo_of(key, version)[1]) == 0:
            return
        rows = photo_of(key, version)[1]
        query = PartitionQuery(rows.vectors[0], 1, exact=self._random.random() < 0.5)
        try:
            hits = self._partition.search(query, FINGERPRINT).hits
        except Unavailable as error:
            self._work.say({"search_refused": error.reason})
            return
        found = [(hit.image.image_id.decode(), hit.image.version) for hit in hits]
        if found != [(key, version)]:
            self._ledger.append(
                {"kind": "violation", "what": f"{key}@{version} was acknowledged; found {found}"}
            )


class Maintainer:
    """Seals, compacts and snapshots in turn, as far as the partition can."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._ledger = LedgerClient(work.order["ledger"])
        self._numbers = count()
        self._snapshots = 0
        partition = work.partition
        self._calls: list[tuple[str, Callable[[], object]]] = [("seal", partition.seal)]
        if hasattr(partition, "compact"):
            self._calls.append(("compact", partition.compact))
        if hasattr(partition, "snapshot") and work.order.get("snapshots"):
            self._calls.append(("snapshot", self._snapshot))

    def step(self) -> None:
        name, call = self._calls[next(self._numbers) % len(self._calls)]
        entry = {"kind": "begin", "what": name}
        if name == "snapshot":
            self._snapshots += 1
            entry["to"] = str(self._target(self._snapshots))
        self._ledger.append(entry)
        done = False
        try:
            call()
            done = True
        except FailedPrecondition:
            # Too little to train on yet.
            time.sleep(0.01)
        except (PatchsearchError, OSError) as error:
            self._work.say({"maintenance": f"{name}: {error}"})
            time.sleep(_PAUSE_AFTER_REFUSAL_S)
        self._ledger.append({"kind": "end", "what": name, "done": done})

    def _snapshot(self) -> None:
        # The one before stays, so that there is always a whole one to look at.
        shutil.rmtree(self._target(self._snapshots - 2), ignore_errors=True)
        self._work.partition.snapshot(str(self._target(self._snapshots)))

    def _target(self, number: int) -> Path:
        return Path(self._work.order["snapshots"]) / f"{self._work.order['run']}-{number}"


class Searcher:
    """Searches beside the writes and says how often that went well."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._rng = np.random.default_rng(work.order["run"])
        self._said = time.monotonic()
        self._searches = 0

    def step(self) -> None:
        filter, meets = CONDITIONS[int(self._rng.integers(0, len(CONDITIONS)))]
        filtered = self._rng.random() < 0.5
        query = PartitionQuery(
            units(self._rng, 1, DIM)[0],
            50,
            keep_overlapping=True,
            filter=filter if filtered else None,
        )
        try:
            hits = self._work.partition.search(query, FINGERPRINT).hits
        except Unavailable as error:
            self._work.say({"search_refused": error.reason})
            time.sleep(_PAUSE_AFTER_REFUSAL_S)
            return
        places = [(hit.image.image_id, tuple(hit.box)) for hit in hits]
        if len(set(places)) != len(places):
            raise RuntimeError(f"a search found a patch twice: {sorted(places)}")
        for hit in hits if filtered else ():
            key = hit.image.image_id.decode()
            if not meets(key, facts_of(key, hit.image.version)):
                raise RuntimeError(f"a search for {filter} found {key}@{hit.image.version}")
        self._searches += 1
        if time.monotonic() - self._said > 0.1:
            self._work.say({"searches": self._searches})
            self._said, self._searches = time.monotonic(), 0
        time.sleep(0.01)


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(json.dumps({"waiting": True}), flush=True)
    line = sys.stdin.readline()
    if not line:
        return
    order = json.loads(line)
    told: list[str] = []
    listen(order["point"], order["occurrence"], told.append)
    shard = Shard(Path(order["data"]), options(sealing=True, **order.get("options", {})))
    shard.open()
    shard.create(IDENTITY)
    work = Work(order, shard.partition(IDENTITY.partition_id))
    work.say({"ready": True})
    for number in range(WRITERS):
        work.start(Writer(work, number).step)
    work.start(Maintainer(work).step)
    work.start(Searcher(work).step)
    _say_points(work, told)
    # The referee is gone.
    os._exit(0)


def _say_points(work: Work, told: list[str]) -> None:
    """Says which crash points have come by, until the standard input ends."""

    def loop() -> None:
        while told:
            work.say({"point": told.pop()})
        time.sleep(0.02)

    work.start(loop)
    sys.stdin.read()


if __name__ == "__main__":
    main()
