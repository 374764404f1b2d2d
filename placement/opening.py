"""Which store a setting names."""

from __future__ import annotations

from pathlib import Path

from placement.file_store import DEFAULT_POLL_S, FilePlacementStore
from placement.store import PlacementStore

ETCD_SCHEMES = ("etcd://", "etcds://")


def open_placement_store(where: str | Path, *, poll_s: float = DEFAULT_POLL_S) -> PlacementStore:
    """The store at a path, or at `etcd://host:port[,host:port...]/key` (`etcds://` over TLS).

    `poll_s`: seconds between looks at a file. Connects to nobody yet. Raises InvalidArgument
    PLACEMENT_URL_INVALID, FailedPrecondition EXTRA_MISSING where the client of etcd is not
    installed.
    """
    if isinstance(where, str) and where.startswith(ETCD_SCHEMES):
        from placement.etcd_store import open_etcd_store

        return open_etcd_store(where)
    return FilePlacementStore(Path(where), poll_s=poll_s)
