"""The placement file of an embedded deployment: one partition a shard, hash ranges tiled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patchsearch.errors import FailedPrecondition
from patchsearch.serving.files import write_json

_SPACE = 1 << 64


def new_placement(addresses: Mapping[str, str]) -> dict[str, Any]:
    """A placement of epoch 1: one partition a shard, each an equal part of the xxh64 space."""
    count = len(addresses)
    partitions = [
        {
            "id": f"p{index}",
            "hash_start": f"{index * _SPACE // count:016x}",
            "hash_end": f"{(index + 1) * _SPACE // count - 1:016x}",
            "replicas": [name],
        }
        for index, name in enumerate(addresses)
    ]
    return {"epoch": 1, "partitions": partitions, "shards": dict(addresses)}


def update_placement(path: Path, addresses: Mapping[str, str]) -> None:
    """Makes the file say where the shards are now; everything else in it stays.

    `addresses` is shard name -> host:port. The epoch grows by one where an address changed; where
    nothing did, the file is not touched. Written whole under another name, then renamed.
    Raises FailedPrecondition (PLACEMENT_INVALID) when the file is no placement of these shards.
    """
    if not path.exists():
        write_json(path, new_placement(addresses))
        return
    try:
        placement = json.loads(path.read_text(encoding="utf-8"))
        epoch, shards = int(placement["epoch"]), dict(placement["shards"])
    except (ValueError, TypeError, KeyError) as error:
        raise FailedPrecondition(
            "PLACEMENT_INVALID",
            f"{path} is not a placement file ({error!r}); restore it, or delete it to have it made "
            "again",
        ) from error
    if set(shards) != set(addresses):
        raise FailedPrecondition(
            "PLACEMENT_INVALID",
            f"{path} is for the shards {', '.join(sorted(shards))}, this directory has "
            f"{', '.join(sorted(addresses))}; restore the file that belongs here",
        )
    if shards != dict(addresses):
        write_json(path, {**placement, "epoch": epoch + 1, "shards": dict(addresses)})
