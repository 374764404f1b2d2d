"""Work in the background comes last."""

from __future__ import annotations

import os
import sys
import threading

_NICE = 10


def yield_to_searches() -> None:
    """Makes the calling thread, and the OpenMP threads that it starts, the last to be scheduled."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
