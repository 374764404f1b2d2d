"""The id that ties together everything done for one request, across servers and log lines."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar

import structlog

HEADER = "x-request-id"
"""Metadata key, in requests and in trailing metadata of answers."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_current: ContextVar[str | None] = ContextVar("patchsearch_request_id", default=None)


def current_request_id() -> str | None:
    """Id of the call that this thread serves; None outside of calls.

    A thread that a servicer starts does not inherit it: run it in `contextvars.copy_context()`, or
    make its outgoing calls with `.future()` from the serving thread.
    """
    return _current.get()


def adopt(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Makes the caller's id, or a fresh one where it sent none that is fit, this context's."""
    request_id = next((v for k, v in metadata or () if k == HEADER and isinstance(v, str)), "")
    if not _ACCEPTED.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    _current.set(request_id)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id
