"""OpenMP threads, which FAISS counts for each calling thread."""

from __future__ import annotations

import threading

import faiss

_threads = threading.local()


def use_threads(count: int) -> None:
    """Sets how many OpenMP threads FAISS uses for calls from this thread."""
    if getattr(_threads, "count", None) != count:
        # The setting belongs to the calling thread alone.
        faiss.omp_set_num_threads(count)
        _threads.count = count
