"""The router's program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from router.program import Router
from router.settings import RouterSettings
from service_runtime.program import leave, run, run_main
from service_runtime.settings import parse_settings

PROG = "patchsearch-router"


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until told to stop; returns the exit status."""
    settings = parse_settings(RouterSettings, argv, PROG)

    def body() -> int:
        router = Router(settings)
        return run(
            settings,
            [router.service],
            prog=PROG,
            warm_up=router.warm_up,
            interrupt=router.interrupt,
            close=router.close,
            registry=router.registry,
        )

    return run_main(PROG, body)


def program() -> NoReturn:
    """The process itself: `main`, and out."""
    leave(main())
