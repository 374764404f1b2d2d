"""What a ledger allows, and that the referee finds what it does not allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shard_service.shard import Shard
from tests.chaos.partition.examination import examine
from tests.chaos.partition.history import ABSENT, read_history
from tests.chaos.partition.ledger import Entry, Ledger
from tests.chaos.partition.workload import options, photo_of
from tests.shard_service.material import FINGERPRINT, IDENTITY


def intent(call: str, *writes: tuple[str, str, int]) -> Entry:
    return {"kind": "intent", "call": call, "writes": [list(write) for write in writes]}


def ack(call: str, *applied: bool) -> Entry:
    return {"kind": "ack", "call": call, "applied": list(applied)}


def test_the_newest_acknowledged_write_must_be_there_and_open_ones_may() -> None:
    history = read_history(
        [
            intent("1", ("put", "a", 5)),
            intent("2", ("put", "a", 6), ("put", "b", 7)),
            ack("1", True),
            intent("3", ("delete", "c", 8)),
            ack("3", False),
            intent("4", ("put", "d", 9)),
            {"kind": "refused", "call": "4", "reason": "DISK_FULL"},
            intent("5", ("put", "e", 10)),
            {"kind": "refused", "call": "5", "reason": "STORE_READ_ONLY"},
        ]
    )
    assert history.allowed == {"a": {5, 6}, "b": {ABSENT, 7}, "c": {ABSENT}, "e": {ABSENT, 10}}
    assert history.violations == []
    assert history.busy == ["write", "write"]


def test_a_call_is_stored_wholly_or_not_at_all() -> None:
    history = read_history([intent("1", ("put", "a", 5), ("put", "b", 6))])
    assert history.torn_calls({"a": 5, "b": 6}) == []
    assert history.torn_calls({}) == []
    assert len(history.torn_calls({"a": 5})) == 1


def test_what_was_seen_stays() -> None:
    entries = [intent("1", ("put", "a", 5)), intent("2", ("put", "b", 6))]
    history = read_history([*entries, {"kind": "seen", "live": {"a": 5}}])
    assert history.allowed == {"a": {5}}
    assert history.unsettled == []


def test_an_old_write_that_changes_something_is_a_violation() -> None:
    entries = [intent("1", ("put", "a", 5)), ack("1", True)]
    assert read_history([*entries, intent("2", ("put", "a", 4)), ack("2", False)]).violations == []
    assert read_history([*entries, intent("2", ("put", "a", 4)), ack("2", True)]).violations
    assert read_history([*entries, intent("2", ("put", "a", 6)), ack("2", False)]).violations


def test_the_ledger_is_a_file_of_entries(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.note({"first": 1})
        ledger.append(intent("1", ("put", "a", 5)))
        assert [entry["kind"] for entry in ledger.entries()] == ["note", "intent"]


def test_the_referee_finds_what_is_not_as_it_should_be(tmp_path: Path) -> None:
    shard = Shard(tmp_path, options(sealing=False))
    shard.open()
    try:
        shard.create(IDENTITY)
        partition = shard.partition(IDENTITY.partition_id)
        versions = {f"i{n}": 1001 + n for n in range(12)}
        partition.put([photo_of(key, at) for key, at in versions.items()], FINGERPRINT)
        rng = np.random.default_rng(1)
        allowed = {key: {version} for key, version in versions.items()}
        right = examine(partition, allowed, rng)
        assert (right.lost, right.phantom, right.torn, right.wrong) == ([], [], [], [])
        assert (right.unfound, right.duplicate, right.live) == ([], [], versions)

        wrong = examine(partition, {**allowed, "gone": {2000}, "i3": {ABSENT}, "i4": {999}}, rng)
        assert len(wrong.lost) == 1 and "gone" in wrong.lost[0]
        assert len(wrong.phantom) == 2

        # An image whose parts are those of another version.
        image, _ = photo_of("i5", 5000)
        _, patches = photo_of("i5", 5001)
        partition.put([(image, patches)], FINGERPRINT)
        torn = examine(partition, {**allowed, "i5": {5000}}, rng)
        assert len(torn.torn) == 1 and torn.phantom
    finally:
        shard.close()
