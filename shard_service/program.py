"""The program `patchsearch-shard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import grpc
from prometheus_client import CollectorRegistry

from service_runtime.clients import open_channel
from service_runtime.logs import logger
from service_runtime.processors import processors
from service_runtime.server import run, run_main
from service_runtime.settings import parse_settings
from shard_service.metrics import PartitionMetrics, RecallMetrics, WorkMetrics
from shard_service.replication.operations import Replication
from shard_service.replication.peers import Peers
from shard_service.search.ranked_candidates import warm_up as compile_search
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from shard_service.timings import Timings
from shard_service.versions import VersionWatch

PROG = "patchsearch-shard"

_SWITCH_S = 0.0001


def serve(argv: Sequence[str] | None = None) -> int:
    """Serves the partitions of a data directory until it is told to stop; the exit status."""
    settings = parse_settings(ShardSettings, argv, PROG)

    def body() -> int:
        # A thread that computes in Python lets a search that waits for the interpreter in sooner.
        sys.setswitchinterval(_SWITCH_S)
        registry = CollectorRegistry()
        work = WorkMetrics(registry)
        shard = Shard(
            settings.data,
            settings.partition_options(),
            search_threads=settings.search_threads or processors(),
            observe=RecallMetrics(registry).observe,
            timings=Timings(work.committed, work.build_began, work.built),
        )
        PartitionMetrics(registry, shard.partitions, settings.data)

        def connect(address: str) -> grpc.Channel:
            return open_channel(
                address,
                max_message_mb=settings.max_message_mb,
                security=settings.channel_security(),
            )

        replication = Replication(
            shard,
            connect,
            keep_s=settings.tombstone_keep_hours * 3600,
            repaired=work.repaired,
            peers=Peers(settings.peers, elsewhere=settings.tls_ca is not None or settings.insecure),
        )
        # Before the port opens, so that a directory in use is told at once.
        shard.lock()

        def warm_up() -> None:
            compile_search()
            shard.open()
            replication.start()
            held = len(shard.partitions())
            logger("shard").info("partitions open", shard=settings.name, partitions=held)

        def close() -> None:
            replication.close()
            shard.close()

        roots = [str(settings.data.resolve() / "snapshots"), *settings.snapshot_roots]
        return run(
            settings,
            [shard_service(shard, roots, replication, VersionWatch(settings.max_clock_ahead_s))],
            prog=PROG,
            warm_up=warm_up,
            close=close,
            registry=registry,
        )

    return run_main(PROG, body)
