"""Which partition an image belongs to, and which shards hold it."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import xxhash

from patchsearch.errors import FailedPrecondition

HASH_END = 2**64 - 1

_PARTITION_ID = re.compile(r"[a-z0-9-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{16}")
_ADDRESS = re.compile(r"(?:[^\s:/]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of a partition: the shard's name in the placement, and where it listens."""

    shard: str
    address: str


@dataclass(frozen=True, slots=True)
class Partition:
    """A hash range [hash_start, hash_end], both inclusive, and the shards that hold it."""

    id: str
    hash_start: int
    hash_end: int
    replicas: tuple[Replica, ...]
    """At least one, each on another shard: they are written to, and any of them may be searched."""
    joining: tuple[Replica, ...] = ()
    """Written to as well while they are being filled, never searched, and not asked for an
    acknowledgement."""

    @property
    def written(self) -> tuple[Replica, ...]:
        """All that a write goes to."""
        return self.replicas + self.joining


@dataclass(frozen=True, slots=True)
class Placement:
    """One version of the map from hash ranges to partitions to shards. Immutable."""

    epoch: int
    partitions: tuple[Partition, ...]
    """By hash range; together they tile the whole hash space."""
    shards: Mapping[str, str]
    """Addresses by name, of shards that hold nothing too."""
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", tuple(p.hash_start for p in self.partitions))

    def partition_of_hash(self, value: int) -> Partition:
        """The partition whose range holds a hash, 0 .. 2**64 - 1."""
        return self.partitions[bisect_right(self._starts, value) - 1]

    def partition_of(self, image_id: str) -> Partition:
        """The partition that an image belongs to: xxh64 of the id's UTF-8 bytes, seed 0."""
        return self.partition_of_hash(hash_of(image_id))

    def partition(self, partition_id: str) -> Partition | None:
        """The partition of that id, where there is one."""
        return next((p for p in self.partitions if p.id == partition_id), None)

    def written_by_address(self) -> dict[str, list[Partition]]:
        """The partitions that each shard holds or is being filled with."""
        grouped: dict[str, list[Partition]] = {}
        for partition in self.partitions:
            for replica in partition.written:
                grouped.setdefault(replica.address, []).append(partition)
        return grouped


def hash_of(image_id: str) -> int:
    """xxh64 of an id's UTF-8 bytes, seed 0: what decides which partition an image belongs to."""
    return xxhash.xxh64(image_id.encode()).intdigest()


def load_placement(path: Path) -> Placement:
    """Reads and checks a placement file; see `parse_placement`.

    Raises FailedPrecondition PLACEMENT_INVALID, with the file's name and the place in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise no_placement(str(path)) from None
    except OSError as error:
        _refuse(
            str(path),
            f"cannot be read: {error.strerror}; write it, or name another with --placement",
        )
    except UnicodeDecodeError:
        _refuse(str(path), "is not UTF-8 text")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        _refuse(f"{path}:{error.lineno}:{error.colno}", f"is not JSON: {error.msg}")
    return parse_placement(document, str(path))


def no_placement(place: str) -> FailedPrecondition:
    """The error of who looks for a placement where none is; `is_no_placement` knows it."""
    return FailedPrecondition(
        "PLACEMENT_INVALID",
        f"{place} cannot be read: there is no placement; write one with `patchsearch cluster "
        "init`, or name another with --placement",
        metadata={"place": place, "missing": "true"},
    )


def is_no_placement(error: FailedPrecondition) -> bool:
    """Whether there is no placement, rather than a bad one."""
    return error.reason == "PLACEMENT_INVALID" and "missing" in error.metadata


def parse_placement(document: object, source: str = "placement") -> Placement:
    """Checks a placement's JSON document and makes it a `Placement`.

    `{"epoch": 1, "partitions": [{"id", "hash_start", "hash_end", "replicas": [shard], "joining":
    [shard]}], "shards": {shard: "host:port"}}`; hashes are 16 hexadecimal digits, ranges inclusive,
    "joining" may be left out. Ranges must tile 0 .. 2**64 - 1 without gap or overlap, ids must be
    unique, shards known and named once a partition. Raises FailedPrecondition PLACEMENT_INVALID
    that names the place.
    """
    top = _mapping(document, source)
    epoch = top.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch < 2**63:
        _refuse(f"{source}: epoch", f"is {epoch!r}; it must be a whole number from 0")
    addresses = _shards(_mapping(top.get("shards"), f"{source}: shards"), source)
    entries = top.get("partitions")
    if not isinstance(entries, list) or not entries:
        _refuse(f"{source}: partitions", "must be a list of at least one partition")
    partitions = [
        _partition(_mapping(entry, place), addresses, place)
        for entry, place in ((e, f"{source}: partitions[{i}]") for i, e in enumerate(entries))
    ]
    _check_ids(partitions, source)
    partitions.sort(key=lambda p: p.hash_start)
    _check_tiling(partitions, source)
    return Placement(epoch=epoch, partitions=tuple(partitions), shards=addresses)


def placement_document(placement: Placement) -> dict[str, Any]:
    """The JSON document that `parse_placement` makes this placement of."""
    return {
        "epoch": placement.epoch,
        "partitions": [_entry(partition) for partition in placement.partitions],
        "shards": dict(placement.shards),
    }


def _entry(partition: Partition) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": partition.id,
        "hash_start": f"{partition.hash_start:016x}",
        "hash_end": f"{partition.hash_end:016x}",
        "replicas": [replica.shard for replica in partition.replicas],
    }
    if partition.joining:
        entry["joining"] = [replica.shard for replica in partition.joining]
    return entry


def _shards(shards: Mapping[str, Any], source: str) -> dict[str, str]:
    for name, address in shards.items():
        match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if match is None or not 1 <= int(match[1]) <= 65535:
            _refuse(
                f"{source}: shards[{name!r}]",
                f'is {address!r}; it must be "host:port" with a port of 1 to 65535',
            )
    return dict(shards)


def _partition(entry: Mapping[str, Any], addresses: Mapping[str, str], place: str) -> Partition:
    name = entry.get("id")
    if not isinstance(name, str) or not _PARTITION_ID.fullmatch(name):
        _refuse(f"{place}.id", f"is {name!r}; it must be 1 to 64 of a-z, 0-9 and -")
    start, end = (_hash(entry.get(key), f"{place}.{key}") for key in ("hash_start", "hash_end"))
    if start > end:
        _refuse(place, f"begins at {start:016x}, behind its end {end:016x}")
    replicas = _replicas(entry.get("replicas"), addresses, f"{place}.replicas")
    if not replicas:
        _refuse(f"{place}.replicas", "is empty; name at least one shard")
    joining = _replicas(entry.get("joining", []), addresses, f"{place}.joining")
    names = [replica.shard for replica in replicas + joining]
    for name_of_shard in names:
        if names.count(name_of_shard) > 1:
            _refuse(place, f"names shard {name_of_shard!r} twice; a shard holds a partition once")
    return Partition(name, start, end, replicas, joining)


def _replicas(value: object, addresses: Mapping[str, str], place: str) -> tuple[Replica, ...]:
    if not isinstance(value, list):
        _refuse(place, f"is {value!r}; it must be a list of shard names")
    for position, shard in enumerate(value):
        if not isinstance(shard, str) or shard not in addresses:
            known = ", ".join(sorted(addresses)) or "none"
            _refuse(f"{place}[{position}]", f"names {shard!r}, which is not in shards ({known})")
    return tuple(Replica(shard, addresses[shard]) for shard in value)


def _hash(value: object, place: str) -> int:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        _refuse(place, f"is {value!r}; it must be 16 hexadecimal digits in lower case")
    return int(value, 16)


def _check_ids(partitions: Sequence[Partition], source: str) -> None:
    seen: set[str] = set()
    for position, partition in enumerate(partitions):
        if partition.id in seen:
            _refuse(f"{source}: partitions[{position}].id", f"{partition.id!r} is there twice")
        seen.add(partition.id)


def _check_tiling(ordered: Sequence[Partition], source: str) -> None:
    expected = 0
    for partition in ordered:
        if partition.hash_start != expected:
            what = (
                "overlaps the range before it"
                if partition.hash_start < expected
                else "leaves a gap"
            )
            _refuse(
                f"{source}: partition {partition.id!r}",
                f"begins at {partition.hash_start:016x} and {what}; "
                f"it must begin at {expected:016x}",
            )
        expected = partition.hash_end + 1
    if expected != HASH_END + 1:
        _refuse(
            f"{source}: partition {ordered[-1].id!r}",
            f"is the last and ends at {ordered[-1].hash_end:016x}; it must end at {HASH_END:016x}",
        )


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(place, "must be a JSON object")
    return value


def _refuse(place: str, problem: str) -> NoReturn:
    raise FailedPrecondition("PLACEMENT_INVALID", f"{place} {problem}", metadata={"place": place})
