"""Files that change while a server runs: noticed when asked, by what the file system says of them.

Asking costs one `stat` a file, about a microsecond, so there is no thread and no interval: a call
after the change sees it. Mounted Kubernetes secrets are links that are swung over; `stat` follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Signature = tuple[tuple[int, int, int] | None, ...]


def signature(files: Sequence[Path]) -> Signature:
    """Differs when one of the files was replaced or written; a missing one is None."""
    return tuple(_one(file) for file in files)


def _one(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
