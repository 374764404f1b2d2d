"""Deletions are forgotten after a time, on all replicas at once, and do not come back."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.checkpoint import no_checkpoint
from shard_service.integrity.prepared_store import last_report
from shard_service.integrity.verification import verify_partition
from shard_service.replication.forgetting import TombstoneAge
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.replica_shards import now_version, running

LAST = (1 << 64) - 1
HOUR = 3600.0


def version_of(seconds: float) -> int:
    return int(seconds * 1000) << 16


def test_time_goes_in_steps_that_all_shards_share() -> None:
    for keep in (168 * HOUR, HOUR, 8.0):
        ages = [TombstoneAge(keep, lambda now=now: now) for now in (1e9 + 1, 1e9 + 1.4)]
        assert ages[0].step_s == min(HOUR, keep / 8)
        cuts = [age.forgotten_before() for age in ages]
        late = version_of(1e9 + 1.4 - keep)
        assert cuts[0] <= cuts[1] <= late and late - cuts[0] <= version_of(ages[0].step_s + 1)
        assert 0 < ages[0].until_next_s() <= ages[0].step_s
        after = TombstoneAge(keep, lambda age=ages[0]: 1e9 + 1 + age.until_next_s() + 1e-3)
        assert after.forgotten_before() > cuts[0]


def test_only_what_is_old_and_deleted_is_forgotten(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    old, new = version_of(1e9), version_of(1e9 + 60)
    writes = [photo(f"i{n}", row_of_boxes(2), units(rng, 2), version=old) for n in range(30)]
    partition.put(writes, FINGERPRINT)
    partition.delete([f"i{n}" for n in range(10)] + [f"no{n}" for n in range(600)], old + 1)
    partition.delete([f"i{n}" for n in range(10, 15)], new)
    calls = []
    forgotten = partition.replica.forget(new, lambda: calls.append(1))
    assert forgotten == 610 and len(calls) > 3, "in small batches"
    for again in range(2):
        totals = partition.replica.totals()
        assert (totals.records, totals.tombstones) == (20, 5)
        assert len(partition.replica.versions(0, LAST, b"", 999)) == 20
        assert partition.describe().images == 15
        if not again:
            digest = totals.digest
            opened.close()
            partition = opened()
    assert partition.replica.totals().digest == digest
    assert partition.replica.forget(new, no_checkpoint) == 0
    # Whoever writes an old version now is no longer told that it was deleted.
    assert partition.put(writes[:1], FINGERPRINT) == [True]
    opened.close()
    assert last_report(opened.directory) is None, "a store that shrinks is no damaged store"
    report = verify_partition(opened.directory)
    assert (report.images, report.damages) == (16, ())


def test_repair_does_not_bring_back_what_was_forgotten(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    day_old = version_of(time.time() - 24 * HOUR)
    with (
        running(tmp_path / "a", keep_s=1e9) as keeps,
        running(tmp_path / "b", keep_s=HOUR) as forgets,
    ):
        keeps.partition.delete(["gone", "missed"], day_old)
        keeps.partition.delete(["late"], now_version())
        forgets.partition.put(
            [photo("missed", row_of_boxes(1), units(rng, 1), version=5)], FINGERPRINT
        )
        # What is still here is deleted, however long ago that was; the rest is of no use.
        assert forgets.repair_from(keeps) == (0, 2)
        got = forgets.partition.replica.versions(0, LAST, b"", 9)
        assert {key for key, _ in got} == {b"missed", b"late"}
        assert not forgets.partition.get_images(["missed"], with_patches=False)


def test_a_shard_forgets_by_itself(tmp_path: Path) -> None:
    with running(tmp_path, keep_s=1e9) as one:
        one.partition.delete([f"i{n}" for n in range(20)], version_of(time.time() - 60))
        one.partition.delete(["new"], now_version())
    with running(tmp_path, keep_s=30) as one:
        until = time.monotonic() + 20
        request = pb.DescribePartitionsRequest()
        while one.stub.DescribePartitions(request).partitions[0].tombstones != 1:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert one.partition.replica.states([b"i0", b"new"])[0] is None
