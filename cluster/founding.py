"""The first placement of a collection, and its empty partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.events import Passed, Published, StepStarted, Tell
from cluster.shards import HeldPartition, Shards
from patchsearch.errors import FailedPrecondition, PatchsearchError
from placement.document import Placement, is_no_placement
from placement.store import PlacementStore


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Whose vectors new partitions are to hold."""

    name: str
    fingerprint: str
    dim: int


def check_new(store: PlacementStore, placement: Placement) -> bool:
    """Whether a first placement is still to be written; False where this very one is in force.

    Raises FailedPrecondition PLACEMENT_EXISTS where there is another one.
    """
    try:
        there = store.load()
    except FailedPrecondition as error:
        if is_no_placement(error):
            return True
        raise
    if there == placement:
        return False
    raise FailedPrecondition(
        "PLACEMENT_EXISTS",
        f"there is a placement already, of epoch {there.epoch} with {len(there.partitions)} "
        f"partitions on {len(there.shards)} shards: change that one with `patchsearch cluster`, "
        "or name another place",
    )


def found_cluster(
    store: PlacementStore,
    shards: Shards,
    placement: Placement,
    encoder: EncoderIdentity | None,
    tell: Tell,
) -> None:
    """Creates the partitions on their shards, if an encoder is given, then writes the placement.

    The same again is not an error. Raises FailedPrecondition PLACEMENT_EXISTS, and what the shards
    raise: the placement is not written then.
    """
    new = check_new(store, placement)
    if encoder is not None:
        for partition in placement.partitions:
            tell(StepStarted(partition.id, f"create {partition.id}"))
            like = _empty(partition.id, partition.hash_start, partition.hash_end, encoder)
            for replica in partition.replicas:
                shards.create(replica.address, like)
    if not new:
        tell(Passed("this placement is in force already"))
        return
    store.replace(placement, None)
    tell(Published(placement.epoch, f"{len(placement.partitions)} partitions"))


def unreachable(shards: Shards, placement: Placement) -> Sequence[tuple[str, PatchsearchError]]:
    """The shards that do not answer, with why."""
    found = []
    for name, address in placement.shards.items():
        try:
            shards.describe(address)
        except PatchsearchError as error:
            found.append((name, error))
    return found


def _empty(name: str, start: int, end: int, encoder: EncoderIdentity) -> HeldPartition:
    return HeldPartition(
        id=name,
        hash_start=start,
        hash_end=end,
        fingerprint=encoder.fingerprint,
        encoder=encoder.name,
        dim=encoder.dim,
        images=0,
        patches=0,
        damaged_images=0,
        tombstones=0,
        disk_bytes=0,
        digest=b"",
        min_write_epoch=0,
        min_read_epoch=0,
        activity="",
    )
