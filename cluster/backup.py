"""A backup of a whole cluster: a snapshot of one replica of each partition, and the placement."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import fsspec

from cluster.shards import Shards, SnapshotTaken
from cluster.survey import take_survey
from patchsearch.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    PatchsearchError,
    Unavailable,
)
from placement.changes import known_address
from placement.document import Placement, parse_placement, placement_document
from placement.store import PlacementStore
from shard_service.snapshots.layout import SUMMARY, decode_summary

MANIFEST = "cluster.json"
_FORMAT = 1

Progress = Callable[[str, int, int], None]
"""Told the partition that comes next, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class ClusterBackup:
    """What `cluster.json` says."""

    placement: Placement
    partitions: Mapping[str, SnapshotTaken]
    """What the snapshot of each partition holds, by id."""

    @property
    def images(self) -> int:
        """Images in all."""
        return sum(taken.images for taken in self.partitions.values())

    @property
    def bytes(self) -> int:
        """Bytes of all snapshots."""
        return sum(taken.bytes for taken in self.partitions.values())


def take_backup(
    store: PlacementStore, shards: Shards, destination: str, progress: Progress
) -> ClusterBackup:
    """Writes `destination`/partitions/ID for each partition, and `destination`/cluster.json last.

    `destination` is an absolute path or a URL that fsspec knows, and names the same place here and
    on every shard: the shards write the snapshots themselves. Each partition is as of a moment of
    its own; what was acknowledged before the call is in it. A backup that was cut short is gone on
    with: snapshots that are whole stay. Raises FailedPrecondition DESTINATION_EXISTS for a finished
    backup, LAST_REPLICA when no shard that answers holds a partition, PLACEMENT_CHANGED when
    partitions were split meanwhile, and what the shards raise.
    """
    root = destination.rstrip("/")
    if _read(f"{root}/{MANIFEST}") is not None:
        raise FailedPrecondition(
            "DESTINATION_EXISTS", f"{root} holds a finished backup; choose another name"
        )
    placement = store.load()
    survey = take_survey(placement, shards)
    taken: dict[str, SnapshotTaken] = {}
    for partition in placement.partitions:
        progress(partition.id, len(taken), len(placement.partitions))
        shard = survey.source(partition)
        if shard is None:
            raise FailedPrecondition(
                "LAST_REPLICA",
                f"no shard that answers holds partition {partition.id}; start one of "
                f"{', '.join(replica.shard for replica in partition.replicas)}",
                metadata={"partition_id": partition.id},
            )
        target = f"{root}/partitions/{partition.id}"
        try:
            taken[partition.id] = shards.snapshot(
                known_address(placement, shard), partition.id, target
            )
        except FailedPrecondition as error:
            found = _taken_before(target) if error.reason == "DESTINATION_EXISTS" else None
            if found is None:
                raise
            taken[partition.id] = found
    progress("", len(taken), len(placement.partitions))
    if [p.id for p in store.load().partitions] != [p.id for p in placement.partitions]:
        raise FailedPrecondition(
            "PLACEMENT_CHANGED", "partitions were split during the backup; take another one"
        )
    backup = ClusterBackup(placement, taken)
    _write(f"{root}/{MANIFEST}", _document(backup))
    return backup


def read_backup(source: str) -> ClusterBackup:
    """Reads `source`/cluster.json; raises DataLoss BACKUP_INVALID, Unavailable SOURCE_FAILED."""
    place = f"{source.rstrip('/')}/{MANIFEST}"
    content = _read(place)
    if content is None:
        raise DataLoss(
            "BACKUP_INVALID", f"{place} is missing: {source} is no finished backup of a cluster"
        )
    try:
        document = json.loads(content)
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r}")
        partitions = {name: SnapshotTaken(**told) for name, told in document["partitions"].items()}
        return ClusterBackup(parse_placement(document["placement"], place), partitions)
    except (ValueError, LookupError, TypeError, PatchsearchError) as error:
        raise DataLoss("BACKUP_INVALID", f"{place} cannot be understood: {error}") from error


def snapshots_of(backup: ClusterBackup, source: str, shards: list[str]) -> list[str]:
    """The snapshots of what these shards held, each once; raises NotFound SHARD_UNKNOWN."""
    for shard in shards:
        known_address(backup.placement, shard)
    return [
        f"{source.rstrip('/')}/partitions/{partition.id}"
        for partition in backup.placement.partitions
        if any(replica.shard in shards for replica in partition.replicas)
    ]


def at_addresses(placement: Placement, addresses: Mapping[str, str]) -> Placement:
    """The next epoch of a backup's placement, with its shards at other addresses.

    What was being filled then is left out. Raises InvalidArgument SHARD_INVALID unless exactly its
    shards are given.
    """
    if set(addresses) != set(placement.shards):
        raise InvalidArgument(
            "SHARD_INVALID",
            f"the backup is of the shards {', '.join(sorted(placement.shards))}; give an address "
            "for each of them and for no other",
        )
    document = placement_document(placement)
    for entry in document["partitions"]:
        entry.pop("joining", None)
    return parse_placement(
        {**document, "epoch": placement.epoch + 1, "shards": dict(addresses)}, "backup"
    )


def _document(backup: ClusterBackup) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "placement": placement_document(backup.placement),
        "partitions": {name: asdict(taken) for name, taken in backup.partitions.items()},
    }


def _taken_before(target: str) -> SnapshotTaken | None:
    """What a snapshot that is there says of itself; None where it is not whole."""
    content = _read(f"{target}/{SUMMARY}")
    if content is None:
        return None
    summary = decode_summary(content.decode("utf-8", "replace"), target)
    return SnapshotTaken(len(summary.files) + 1, summary.bytes, summary.images, summary.patches)


def _read(place: str) -> bytes | None:
    try:
        with fsspec.open(place, "rb") as file:
            content: bytes = file.read()
            return content
    except FileNotFoundError:
        return None
    except Exception as error:
        # Each of fsspec's file systems has errors of its own.
        raise Unavailable("SOURCE_FAILED", f"{place} cannot be read: {error}") from error


def _write(place: str, document: dict[str, Any]) -> None:
    try:
        with fsspec.open(place, "wb") as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")
    except Exception as error:
        raise Unavailable("DESTINATION_FAILED", f"{place} cannot be written: {error}") from error
