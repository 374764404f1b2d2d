"""Who made the call that is being served."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

import grpc
import structlog

from service_runtime.roles import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is "token:NAME", "certificate:NAME" or "anonymous"; no `role` where none is asked."""

    name: str
    role: Role | None = None


ANONYMOUS = Caller("anonymous")
"""Whoever calls a server that asks nobody who they are."""

_current: ContextVar[Caller] = ContextVar("patchsearch_caller", default=ANONYMOUS)


def current_caller() -> Caller:
    """The caller of the call that this thread serves; ANONYMOUS outside of calls."""
    return _current.get()


def adopt(caller: Caller) -> None:
    """Makes it the caller of this context; its log lines carry the name."""
    _current.set(caller)
    if caller is ANONYMOUS:
        structlog.contextvars.unbind_contextvars("caller")
    else:
        structlog.contextvars.bind_contextvars(caller=caller.name)


def certificate_names(context: grpc.ServicerContext) -> tuple[str, ...]:
    """The names that the caller's verified certificate bears, the subject's first; () without one.

    Names that are not UTF-8 come with replacement characters.
    """
    found = context.auth_context()
    values = [
        *found.get("x509_common_name", ()),
        *found.get("x509_subject_alternative_name", ()),
    ]
    return tuple(dict.fromkeys(value.decode("utf-8", "replace") for value in values if value))
