"""Reads FAISS index files whose bytes were checked."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import faiss

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
