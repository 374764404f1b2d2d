"""A snapshot is a partition's directory with a `snapshot.json` that names and sums its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from patchsearch.errors import DataLoss, FailedPrecondition, InvalidArgument
from shard_service.checkpoint import Checkpoint
from shard_service.store.meta import Identity
from shard_service.validation import check_partition

LMDB = "lmdb"
SUMMARY = "snapshot.json"
FORMAT = 1
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """The content of `snapshot.json`. `files` maps paths below it to (bytes, sha256)."""

    identity: Identity
    images: int
    patches: int
    files: Mapping[str, tuple[int, str]]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


def encode_summary(summary: SnapshotSummary) -> str:
    """The text of `snapshot.json`, which ends with a sum of the rest."""
    content = {
        "format": FORMAT,
        "identity": asdict(summary.identity),
        "images": summary.images,
        "patches": summary.patches,
        "files": {
            name: {"bytes": size, "sha256": digest}
            for name, (size, digest) in sorted(summary.files.items())
        },
    }
    return json.dumps({**content, "sha256": _sum(content)}, indent=2) + "\n"


def decode_summary(text: str, where: str) -> SnapshotSummary:
    """Reads `snapshot.json`; `where` names it in messages.

    Raises FailedPrecondition FORMAT_UNKNOWN for a later format, DataLoss SNAPSHOT_CORRUPT for what
    is none, fails its sum, or names files outside the snapshot.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise FailedPrecondition(
                "FORMAT_UNKNOWN",
                f"snapshot {where} has format {content['format']}; this version reads {FORMAT}: "
                "restore it with the version that took it",
            )
        if content.pop("sha256") != _sum(content):
            raise ValueError("it fails its checksum")
        files = {
            str(name): (int(file["bytes"]), str(file["sha256"]))
            for name, file in content["files"].items()
        }
        for name in files:
            _check_name(name)
        identity = Identity(**content["identity"])
        check_partition(identity.partition_id, identity.hash_start, identity.hash_end)
        return SnapshotSummary(identity, int(content["images"]), int(content["patches"]), files)
    except (ValueError, LookupError, TypeError, AttributeError, InvalidArgument) as error:
        raise DataLoss(
            "SNAPSHOT_CORRUPT", f"{where}/{SUMMARY} cannot be read: {error}; use another snapshot"
        ) from error


def file_sum(path: Path, checkpoint: Checkpoint) -> tuple[int, str]:
    """Size and sha256 of a file; `checkpoint` is called before every piece and may raise."""
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            checkpoint()
            size += len(piece)
            digest.update(piece)
    return size, digest.hexdigest()


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or len(path.parts) < 2:
        raise ValueError(f"{name!r} is no name of a file in a snapshot")


def _sum(content: Mapping[str, Any]) -> str:
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
