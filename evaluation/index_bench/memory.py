"""What a process holds in memory, as the kernel counts it (proc(5), smaps and smaps_rollup)."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `resident` is all of it; `anonymous` what no file backs; `mapped_index` and
    `mapped_vectors` the resident pages of an engine's mapped files. What is left is code."""

    resident: int
    anonymous: int
    mapped_index: int
    mapped_vectors: int

    def since(self, before: Memory) -> Memory:
        """What came on top of `before`; never negative."""
        return Memory(
            max(0, self.resident - before.resident),
            max(0, self.anonymous - before.anonymous),
            max(0, self.mapped_index - before.mapped_index),
            max(0, self.mapped_vectors - before.mapped_vectors),
        )


def process_memory(directory: Path, vector_files: Sequence[str]) -> Memory:
    """This process's, after giving free memory back to the kernel.

    Mapped files count where they lie in `directory`; those that a pattern of `vector_files`
    matches, relative to it, are vectors.
    """
    root = f"{directory.resolve()}/"
    index = vectors = 0
    for path, resident in _mapped(Path("/proc/self/smaps").read_text()):
        if not path.startswith(root):
            continue
        if any(fnmatch(path.removeprefix(root), pattern) for pattern in vector_files):
            vectors += resident
        else:
            index += resident
    # Last, so that what looking takes is there before and after what is measured.
    gc.collect()
    _trim()
    totals = _rollup(Path("/proc/self/smaps_rollup").read_text())
    return Memory(totals["Rss"], totals["Anonymous"], index, vectors)


def _trim() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _rollup(text: str) -> dict[str, int]:
    totals = {}
    for line in text.splitlines()[1:]:
        name, value = line.split(":")
        totals[name] = int(value.split()[0]) * 1024
    return totals


def _mapped(text: str) -> list[tuple[str, int]]:
    """(path, resident bytes) of each mapping of a file."""
    found = []
    path = ""
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        if words[0] == "Rss:" and path:
            found.append((path, int(words[1]) * 1024))
        elif not words[0].endswith(":"):
            path = words[5] if len(words) == 6 and words[5].startswith("/") else ""
    return found
