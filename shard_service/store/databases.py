"""The named databases of a partition's LMDB environment."""

from __future__ import annotations

from typing import Any, NamedTuple

import lmdb

DATABASE_COUNT = 4


class Databases(NamedTuple):
    """Handles of the named databases of one environment."""

    meta: Any
    images: Any
    patches: Any
    filters: Any


def open_databases(env: lmdb.Environment, *, create: bool = False) -> Databases:
    """Opens all databases; raises lmdb.NotFoundError for one that is not there."""
    return Databases(*(env.open_db(name.encode(), create=create) for name in Databases._fields))
