"""Reads FAISS index files whose bytes were checked."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# FAISS has one limit for the whole process.
_limited = threading.Lock()


def read_index_file(path: Path, flags: int = 0) -> Any:
    """The index in `path`; raises OSError when FAISS cannot read it.

    No part of an index is larger than its file: what claims to be is not even allocated.
    """
    with _limited:
        before = faiss.get_deserialization_vector_byte_limit()
        # Its limit is exclusive.
        faiss.set_deserialization_vector_byte_limit(path.stat().st_size + 1)
        try:
            return faiss.read_index(str(path), flags)
        except RuntimeError as error:
            raise OSError(f"{path.name}: {error}") from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def view_index(file: NDArray[np.uint8]) -> Any:
    """The index whose file these bytes are, in place: keep them as long as the index lives."""
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(file), file.size)
    with _limited:
        return faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
