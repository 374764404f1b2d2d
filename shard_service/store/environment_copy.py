"""Copies an open LMDB environment in pieces, so that a copy can be given up halfway."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
from pathlib import Path

import lmdb

from shard_service.checkpoint import Checkpoint

_PIECE_BYTES = 1 << 20


def copy_environment(env: lmdb.Environment, target: Path, checkpoint: Checkpoint) -> None:
    """Writes `env` as of one moment to the new file `target`, while it is read and written.

    LMDB copies in one call that nothing can stop; here it writes into a pipe, and ends when nobody
    reads there any more. `checkpoint` is called before every MiB and may raise; the file stays as
    it is then. The environment's map must not change meanwhile. Raises OSError when the disk fails.
    """
    source, sink = os.pipe()
    failures: list[lmdb.Error] = []

    def send() -> None:
        try:
            env.copyfd(sink)
        except lmdb.Error as error:
            failures.append(error)
        finally:
            os.close(sink)

    _widen_pipe(sink)
    sender = threading.Thread(target=send, name="copy-store", daemon=True)
    sender.start()
    try:
        with target.open("xb", buffering=0) as file:
            while piece := os.read(source, _PIECE_BYTES):
                checkpoint()
                _write(file.fileno(), piece)
    finally:
        # Whatever LMDB still has to write fails from here on.
        os.close(source)
        sender.join()
    if failures:
        error = failures[0]
        code = error.code if error.code and error.code > 0 else errno.EIO
        raise OSError(code, f"copying the store failed: {error}", str(target)) from error


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _widen_pipe(descriptor: int) -> None:
    if sys.platform != "linux":
        return
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIECE_BYTES)
    except OSError:
        # Only faster with it.
        return
