"""The parts that a call's work has: each is timed, and is a span where the call is traced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from service_runtime.tracing import AttributeValue, span

Observe = Callable[[str, float, bool], None]
"""Told of a stage that ended: its name, its seconds, and whether it went well."""

_observe: ContextVar[Observe | None] = ContextVar("patchsearch_stages", default=None)


def observe_stages(observe: Observe) -> None:
    """Tells `observe` of the stages of the call that this context serves."""
    _observe.set(observe)


@contextmanager
def stage(name: str, **attributes: AttributeValue) -> Iterator[None]:
    """A part of the call that this thread serves; `name` is a constant, as it labels a metric.

    `attributes` go to the span only. A thread that a servicer starts does not inherit the call: run
    it in `contextvars.copy_context()`. Outside of calls nobody is told. Thread-safe.
    """
    began = time.perf_counter()
    well = False
    try:
        with span(name, **attributes):
            yield
        well = True
    finally:
        observe = _observe.get()
        if observe is not None:
            observe(name, time.perf_counter() - began, well)
