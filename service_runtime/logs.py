"""Log lines of a server process, its own and every library's, in one format on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def configure_logging(level: str, style: Literal["console", "json"]) -> None:
    """Sets the process's logging up; called once, by the program's entry, before any logging.

    `level` is debug, info, warning or error. The request id of the call being served is on every
    line that its thread writes.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Processor
    if style == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak up from warning on; what they say at info is about themselves.
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))


def logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `component=name`; it follows `configure_logging`."""
    bound: FilteringBoundLogger = structlog.get_logger(component=name)
    return bound
