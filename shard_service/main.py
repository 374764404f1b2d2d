"""The program `patchsearch-shard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from service_runtime.logs import logger
from service_runtime.server import run, run_main
from service_runtime.settings import parse_settings
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard

PROG = "patchsearch-shard"


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the partitions of a data directory until it is told to stop; the exit status."""
    settings = parse_settings(ShardSettings, argv, PROG)

    def body() -> int:
        shard = Shard(
            settings.data, settings.partition_options(), search_threads=settings.search_threads
        )
        # Before the port opens, so that a directory in use is told at once.
        shard.lock()

        def warm_up() -> None:
            shard.open()
            held = len(shard.partitions())
            logger("shard").info("partitions open", shard=settings.name, partitions=held)

        return run(settings, [shard_service(shard)], prog=PROG, warm_up=warm_up, close=shard.close)

    return run_main(PROG, body)


if __name__ == "__main__":
    sys.exit(main())
