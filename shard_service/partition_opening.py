"""Opens what lies in a partition's directory: the store, and what is derived from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shard_service.index.codebook import Codebook, SharedCodebooks
from shard_service.integrity.prepared_store import prepare_store
from shard_service.maintenance.scrubbing import Damage, damaged_image
from shard_service.options import PartitionOptions
from shard_service.partition_files import (
    LMDB,
    Recovered,
    check_place,
    open_codebook,
    recover_segments,
)
from shard_service.partition_health import lost_images
from shard_service.replication.digests import PartitionDigests
from shard_service.store.patch_store import PatchStore


@dataclass(frozen=True, eq=False, slots=True)
class OpenedPartition:
    """The open store with the digests of its records, what was recovered beside it, and the images
    that are damaged or lost."""

    store: PatchStore
    digests: PartitionDigests
    codebook: Codebook | None
    recovered: Recovered
    damages: tuple[Damage, ...]


def open_partition(
    directory: Path,
    options: PartitionOptions,
    codebooks: SharedCodebooks,
    partition_id: str,
    committed_in: Callable[[float], None],
) -> OpenedPartition:
    """Opens the directory of the partition `partition_id`, "" for any; see `Partition`."""
    condition = prepare_store(directory)
    store = PatchStore(
        directory / LMDB, options.map_bytes, durable=options.durable, committed_in=committed_in
    )
    try:
        identity = store.identity
        check_place(directory, identity.partition_id, partition_id)
        # First, so that the segments share it.
        codebook = open_codebook(directory, store.codebook_id(), codebooks)
        digests = PartitionDigests(identity.hash_start, identity.hash_end)
        recovered = recover_segments(directory, store, codebooks, digests.add)
        lost = lost_images(condition, store)
    except BaseException:
        store.close()
        raise
    damages = (*lost, *map(damaged_image, recovered.damaged))
    return OpenedPartition(store, digests, codebook, recovered, damages)
