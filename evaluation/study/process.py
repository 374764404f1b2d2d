"""What a process of a study has only one of."""

from __future__ import annotations

import os

from service_runtime.logs import configure_logging


def prepare_process() -> None:
    """Called once by a program's entry, before anything that computes is imported.

    Logs go to standard error from warning on. Threads of the numerical libraries sleep while they
    wait: those that spin starve the other processes.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    configure_logging("warning", "console")
