"""Whether a partition can be what it is said to be."""

from __future__ import annotations

from patchsearch.errors import FailedPrecondition, InvalidArgument
from shard_service.store.meta import Identity
from shard_service.validation import check_partition


def check_identity(identity: Identity) -> None:
    """Raises InvalidArgument PARTITION_INVALID for what no partition can be."""
    check_partition(identity.partition_id, identity.hash_start, identity.hash_end)
    if not identity.fingerprint or not 1 <= identity.dim <= 4096 or identity.dim % 64:
        raise InvalidArgument(
            "PARTITION_INVALID",
            f"partition {identity.partition_id} has fingerprint {identity.fingerprint!r} and "
            f"{identity.dim} numbers a vector; name the encoder, and give a multiple of 64 "
            "up to 4096",
        )


def check_same(mine: Identity, wanted: Identity) -> None:
    """Raises FailedPrecondition PARTITION_EXISTS or ENCODER_MISMATCH when the partition that is
    there is another one than is wanted."""
    if (mine.hash_start, mine.hash_end) != (wanted.hash_start, wanted.hash_end):
        raise FailedPrecondition(
            "PARTITION_EXISTS",
            f"partition {mine.partition_id} exists and holds hashes {mine.hash_start:016x} to "
            f"{mine.hash_end:016x}, not {wanted.hash_start:016x} to {wanted.hash_end:016x}: "
            "mend the placement",
        )
    if (mine.fingerprint, mine.dim) != (wanted.fingerprint, wanted.dim):
        raise FailedPrecondition(
            "ENCODER_MISMATCH",
            f"partition {mine.partition_id} holds vectors of {mine.encoder} "
            f"({mine.fingerprint}), not of {wanted.encoder} ({wanted.fingerprint}): start "
            f"{mine.encoder}, or start a new collection",
            metadata={"expected": mine.fingerprint, "given": wanted.fingerprint},
        )
