"""Functions that are compiled for the machine they run on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(*, nogil: bool = False) -> Callable[[_F], _F]:
    """Has a function compiled at its first call, and lets go of the GIL meanwhile if `nogil`.

    What was compiled is kept beside the source, else in the user's cache directory or in
    NUMBA_CACHE_DIR, so that the next process only loads it. Where none of them can be written,
    every process compiles for itself, which takes some seconds.
    """

    def decorate(function: _F) -> _F:
        try:
            kept: _F = njit(function, nogil=nogil, cache=True)
        except RuntimeError:
            # "no locator available": how numba says that it found no place.
            kept = njit(function, nogil=nogil)
        return kept

    return decorate
