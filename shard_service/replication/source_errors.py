"""The error for a shard that does not give what another one asks it for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from patchsearch.errors import PatchsearchError, Unavailable
from patchsearch.wire.status import error_from_rpc


@contextmanager
def source_errors(address: str) -> Iterator[None]:
    """Makes the failure of a call to another shard Unavailable SOURCE_FAILED."""
    try:
        yield
    except grpc.RpcError as raised:
        raise source_failed(address, error_from_rpc(raised)) from raised


def source_failed(address: str, error: PatchsearchError | str) -> Unavailable:
    """The error for a shard that does not give what it is asked for."""
    return Unavailable(
        "SOURCE_FAILED",
        f"the shard at {address} cannot be copied from: {error}; look at that shard",
        metadata={"source": address},
    )
