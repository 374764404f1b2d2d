"""The door of the program `patchsearch-shard`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the partitions of a data directory until it is told to stop; the exit status."""
    # OpenMP threads that spin while they wait take the cores from searches. The library reads this
    # when it is loaded, so nothing that imports FAISS may come before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from shard_service.program import serve

    return serve(argv)


def program() -> NoReturn:
    """The process itself: `main`, and out."""
    status = main()
    from service_runtime.program import leave

    leave(status)


if __name__ == "__main__":
    program()
