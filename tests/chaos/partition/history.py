"""What a ledger says may be stored: for each image the versions that are allowed, and no others.

An acknowledged write must be there, unless a newer one is. A write that was intended and neither
acknowledged nor refused may be there or not. A refused one may not. Entries:

    {"kind": "intent", "call": c, "writes": [["put" | "delete", image_id, version], ...]}
    {"kind": "ack", "call": c, "applied": [...]}      {"kind": "refused", "call": c, "reason": r}
    {"kind": "seen", "live": {image_id: version}}     what a referee found: from then on that
    {"kind": "begin" | "end", "what": w, ...}         seal, compact, snapshot
    {"kind": "violation", "what": w}                  what a writer saw that may not be
    {"kind": "fresh"}                                 an empty directory takes the place of the old
    {"kind": "note", ...}                             for people
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.partition.ledger import Entry

ABSENT = 0
"""Stands for the version of an image that is not stored."""

# Refusals that promise that nothing was written.
_UNWRITTEN = ("DISK_FULL", "STORE_FAILED", "OVERLOADED")

Write = tuple[str, str, int]


@dataclass(frozen=True)
class History:
    """The reading of a ledger.

    `allowed`: image_id -> versions, ABSENT among them where the image may be missing. `unsettled`:
    calls without an answer. `acknowledged_ids`: images of which something newer than version 1 is
    known to be stored, be it a deletion. `busy`: what was under way at the end. `asked`: all writes
    of each image since it was last seen, as (kind, version). `violations` in words.
    """

    allowed: dict[str, set[int]]
    unsettled: list[list[Write]]
    asked: dict[str, list[tuple[str, int]]]
    busy: list[str]
    violations: list[str]
    newest_version: int
    acknowledged: int
    acknowledged_ids: set[str]
    refused: dict[str, int]

    def torn_calls(self, live: Mapping[str, int]) -> list[str]:
        """Unanswered calls of which a part is stored and another part neither is nor was."""
        torn = []
        for writes in self.unsettled:
            done = [live.get(key, ABSENT) == _outcome(kind, at) for kind, key, at in writes]
            if not any(done) or len({kind for kind, _, _ in writes}) > 1 or writes[0][0] != "put":
                continue
            for (_, key, at), here in zip(writes, done, strict=True):
                newer = any(
                    other > at and _outcome(kind, other) == live.get(key, ABSENT)
                    for kind, other in self.asked.get(key, [])
                )
                if not here and not newer:
                    torn.append(f"{key} of a call at version {at} that is partly stored")
        return torn


def read_history(entries: Iterable[Entry]) -> History:
    """What `entries`, in their order, allow."""
    settled: dict[str, tuple[int, int]] = {}
    calls: dict[str, list[Write]] = {}
    asked_at: dict[str, dict[str, int]] = {}
    top: dict[str, int] = {}
    intended: dict[str, int] = {}
    since_seen: dict[str, list[tuple[str, int]]] = {}
    busy: list[str] = []
    violations: list[str] = []
    refused: dict[str, int] = {}
    acknowledged = 0
    for entry in entries:
        kind = entry["kind"]
        if kind == "intent":
            writes = [(str(a), str(b), int(c)) for a, b, c in entry["writes"]]
            calls[entry["call"]] = writes
            asked_at[entry["call"]] = {key: top.get(key, 0) for _, key, _ in writes}
            for what, key, version in writes:
                intended[key] = max(version, intended.get(key, 0))
                since_seen.setdefault(key, []).append((what, version))
        elif kind == "ack":
            writes, before = calls.pop(entry["call"]), asked_at.pop(entry["call"])
            for (what, key, version), applied in zip(writes, entry["applied"], strict=True):
                acknowledged += 1
                if applied and before[key] >= version:
                    violations.append(f"{what} {key}@{version} changed a newer {before[key]}")
                if (
                    not applied
                    and what == "put"
                    and intended[key] <= version
                    and _first(since_seen, key, version)
                ):
                    violations.append(f"put {key}@{version} was refused with nothing newer there")
                top[key] = max(version, top.get(key, 0))
                if version >= settled.get(key, (0, ABSENT))[0]:
                    settled[key] = (version, _outcome(what, version))
        elif kind == "refused":
            refused[entry["reason"]] = refused.get(entry["reason"], 0) + 1
            if entry["reason"] in _UNWRITTEN:
                calls.pop(entry["call"])
        elif kind == "seen":
            live = entry["live"]
            calls.clear()
            busy.clear()
            since_seen.clear()
            for key in {*settled, *live}:
                here = live.get(key, ABSENT)
                settled[key] = (max(here, settled.get(key, (0, 0))[0]), here)
                top[key] = max(here, top.get(key, 0))
        elif kind == "begin":
            busy.append(entry["what"])
        elif kind == "end":
            busy.remove(entry["what"])
        elif kind == "note":
            continue
        elif kind == "fresh":
            for table in (settled, calls, asked_at, top, since_seen):
                table.clear()
            busy.clear()
            violations.clear()
        elif kind == "violation":
            violations.append(entry["what"])
        else:
            raise ValueError(f"a ledger has no {kind!r}")
    allowed = {key: {outcome} for key, (_, outcome) in settled.items()}
    for writes in calls.values():
        for what, key, version in writes:
            allowed.setdefault(key, {ABSENT})
            if version > settled.get(key, (0, ABSENT))[0]:
                allowed[key].add(_outcome(what, version))
    return History(
        allowed=allowed,
        unsettled=list(calls.values()),
        asked=since_seen,
        busy=[*busy, *("write" for _ in calls)],
        violations=violations,
        newest_version=max(intended.values(), default=0),
        acknowledged=acknowledged,
        acknowledged_ids=set(top),
        refused=refused,
    )


def history_of_snapshot(entries: Sequence[Entry], begin: int, end: int) -> History:
    """What a copy may hold that was taken as of some moment between two entries, by place."""
    during = [entry for entry in entries[begin:end] if entry["kind"] == "intent"]
    return read_history([*entries[:begin], *during])


@dataclass(frozen=True)
class TakenSnapshot:
    """A snapshot as a ledger tells of it: where, between which entries, and whether it ended."""

    path: str
    begin: int
    end: int
    whole: bool


def taken_snapshots(entries: Sequence[Entry]) -> list[TakenSnapshot]:
    """The snapshots since the referee looked last; one that failed is not among them."""
    taken: list[TakenSnapshot] = []
    path, begin = "", 0
    for place, entry in enumerate(entries):
        if entry["kind"] == "seen":
            taken.clear()
            path = ""
        elif entry.get("what") != "snapshot":
            continue
        elif entry["kind"] == "begin":
            path, begin = entry["to"], place
        elif entry["kind"] == "end":
            if entry["done"]:
                taken.append(TakenSnapshot(path, begin, place, True))
            path = ""
    if path:
        taken.append(TakenSnapshot(path, begin, len(entries), False))
    return taken


def _outcome(what: str, version: int) -> int:
    return version if what == "put" else ABSENT


def _first(since: Mapping[str, list[tuple[str, int]]], key: str, version: int) -> bool:
    """Whether this version was asked for once only, so that no replay explains a refusal."""
    return sum(other == version for _, other in since.get(key, [])) == 1
