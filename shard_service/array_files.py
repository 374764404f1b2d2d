"""Arrays in .npy files, read by several threads at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Their headers are Python literals, and before 3.11.8 and 3.12.2 two threads that parse such at one
# time can get a SystemError from each other (python/cpython#106905).
_one_parses = threading.Lock()


def load_array(path: Path) -> NDArray[Any]:
    """The array in `path`, in memory; raises OSError or ValueError for what is none."""
    return _loaded(path, None)


def map_array(path: Path) -> NDArray[Any]:
    """The array in `path`, read-only and mapped; raises OSError or ValueError for what is none."""
    # A plain array over the same pages: every operation on np.memmap costs more.
    return np.asarray(_loaded(path, "r"))


def _loaded(path: Path, mmap_mode: Literal["r"] | None) -> NDArray[Any]:
    try:
        with _one_parses:
            loaded: Any = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except EOFError as error:
        raise ValueError(f"{path.name} is cut off") from error
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise ValueError(f"{path.name} is an archive and no array")
    return loaded
