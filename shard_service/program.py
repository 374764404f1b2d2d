"""The program `patchsearch-shard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from service_runtime.logs import logger
from service_runtime.server import run, run_main
from service_runtime.settings import parse_settings
from shard_service.metrics import RecallMetrics
from shard_service.search.ranked_candidates import warm_up as compile_search
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard

PROG = "patchsearch-shard"

_SWITCH_S = 0.0001


def serve(argv: Sequence[str] | None = None) -> int:
    """Serves the partitions of a data directory until it is told to stop; the exit status."""
    settings = parse_settings(ShardSettings, argv, PROG)

    def body() -> int:
        # A thread that computes in Python lets a search that waits for the interpreter in sooner.
        sys.setswitchinterval(_SWITCH_S)
        registry = CollectorRegistry()
        shard = Shard(
            settings.data,
            settings.partition_options(),
            search_threads=settings.search_threads,
            observe=RecallMetrics(registry).observe,
        )
        # Before the port opens, so that a directory in use is told at once.
        shard.lock()

        def warm_up() -> None:
            compile_search()
            shard.open()
            held = len(shard.partitions())
            logger("shard").info("partitions open", shard=settings.name, partitions=held)

        roots = [str(settings.data.resolve() / "snapshots"), *settings.snapshot_roots]
        return run(
            settings,
            [shard_service(shard, roots)],
            prog=PROG,
            warm_up=warm_up,
            close=shard.close,
            registry=registry,
        )

    return run_main(PROG, body)
