"""The audit log: who asked for what kind of thing, and how it ended. One JSON object a line.

Facts only: counts, kinds, outcomes. Nothing that a caller wrote or sent goes in, so no texts, no
pixels, no vectors, no image ids, and never a token.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from contextvars import ContextVar
from pathlib import Path

import structlog

from patchsearch.errors import FailedPrecondition
from service_runtime.caller import Caller

Fact = str | int | float | bool | dict[str, int]

_facts: ContextVar[dict[str, Fact] | None] = ContextVar("patchsearch_audit", default=None)


def note(**facts: Fact) -> None:
    """Adds facts to the audit line of the call that this thread serves; nothing outside of calls.

    Kinds, counts and limits only: see the module.
    """
    kept = _facts.get()
    if kept is not None:
        kept.update(facts)


def begin() -> dict[str, Fact]:
    """Starts collecting the facts of a call, in this context."""
    facts: dict[str, Fact] = {}
    _facts.set(facts)
    return facts


class AuditLog:
    """Lines for a file, or for standard error where the path is "-". Thread-safe.

    A file that was moved away is opened again under its name, so that it can be rotated; it is made
    readable by its owner only. What cannot be written (a full disk) is told on standard error, and
    the call goes on.
    """

    def __init__(self, file: Path) -> None:
        """Raises FailedPrecondition AUDIT_FILE_UNWRITABLE."""
        handler: logging.Handler
        if str(file) == "-":
            handler = logging.StreamHandler(sys.stderr)
        else:
            try:
                os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
                handler = logging.handlers.WatchedFileHandler(file, encoding="utf-8")
            except OSError as error:
                raise FailedPrecondition(
                    "AUDIT_FILE_UNWRITABLE",
                    f"cannot write {file} ({error.strerror}); name a file that can be written",
                ) from error
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._handler = handler
        # A logger of its own, beside those of the process: its level and format are nobody else's.
        sink = logging.Logger("patchsearch.audit")
        sink.addHandler(handler)
        self._log = structlog.wrap_logger(
            sink,
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )

    def write(
        self,
        *,
        caller: Caller,
        peer: str,
        method: str,
        outcome: str,
        reason: str | None,
        ms: float,
        request_id: str,
        facts: dict[str, Fact],
    ) -> None:
        """One line for a call that has ended; `outcome` is the status code's name."""
        self._log.info(
            "call",
            caller=caller.name,
            peer=peer,
            rpc=method.removeprefix("/"),
            outcome=outcome,
            **({} if reason is None else {"reason": reason}),
            ms=round(ms, 1),
            request_id=request_id,
            **facts,
        )

    def close(self) -> None:
        """Closes the file; lines after that are lost."""
        if isinstance(self._handler, logging.FileHandler):
            self._handler.close()
