"""The program `patchsearch-operator`: the operations as RPCs, for controllers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from cluster.operator import Operator
from cluster.servicer import cluster_service
from cluster.settings import OperatorSettings
from cluster.shards import connect_shards
from placement.opening import open_placement_store
from service_runtime.program import leave, run, run_main
from service_runtime.settings import parse_settings

PROG = "patchsearch-operator"


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until told to stop; returns the exit status."""
    settings = parse_settings(OperatorSettings, argv, PROG)

    def body() -> int:
        store = open_placement_store(settings.placement)
        shards = connect_shards(settings.channel_security())
        operator = Operator(store, shards, rate_mb_s=settings.rate_mb_s)

        def close() -> None:
            store.close()
            shards.close()

        return run(settings, [cluster_service(operator)], prog=PROG, close=close)

    return run_main(PROG, body)


def program() -> NoReturn:
    """The process itself: `main`, and out."""
    leave(main())
