"""`patchsearch-encoder`: serves one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from prometheus_client import CollectorRegistry

from encoder_service.opening import open_service
from encoder_service.settings import EncoderSettings
from service_runtime.logs import configure_logging
from service_runtime.program import leave, run, run_main
from service_runtime.settings import parse_settings

PROG = "patchsearch-encoder"


def main(argv: Sequence[str] | None = None) -> int:
    """Opens the model, then serves until told to stop; returns the exit status."""
    settings = parse_settings(EncoderSettings, argv, PROG)
    return run_main(PROG, lambda: _serve(settings))


def _serve(settings: EncoderSettings) -> int:
    configure_logging(settings.log_level, settings.log_format)
    registry = CollectorRegistry()
    service = open_service(settings, registry)
    return run(
        settings,
        [service.service],
        prog=PROG,
        warm_up=service.warm_up,
        close=service.close,
        registry=registry,
    )


def program() -> NoReturn:
    """The process itself: `main`, and out."""
    leave(main())


if __name__ == "__main__":
    program()
