"""How long another shard is waited for, and the end of calls that are waited for in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from patchsearch.errors import PatchsearchError
from shard_service.checkpoint import Checkpoint
from shard_service.replication.source_errors import source_failed

_LOOK_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a shard waits for another one, whatever its own caller would.

    A connection that has died without a word is found out by keepalive within 30 seconds; these are
    for a shard that lives and does not answer, because its disk hangs for instance.
    """

    call_s: float = 120.0
    """For a digest, versions or images."""
    first_piece_s: float = 900.0
    """For the first piece of a copy, which is sent when the source has copied its store."""
    piece_s: float = 60.0
    """For each further piece."""


class _Wait:
    """Since when the next message is waited for, and for how long that goes on."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.since: float | None = None


def watched(call: Any, source: str, patience: Patience, checkpoint: Checkpoint) -> Iterator[Any]:
    """The messages of a stream from the shard at `source`; cancels it when it is left.

    Raises Unavailable SOURCE_FAILED when a message does not come in time, and what `checkpoint`
    raises, also while one is waited for; grpc.RpcError when the stream fails by itself.
    """
    wait, ended = _Wait(patience.first_piece_s), threading.Event()
    why: list[PatchsearchError] = []

    def watch() -> None:
        while not ended.wait(_LOOK_S):
            since = wait.since
            try:
                checkpoint()
                if since is not None and time.monotonic() - since > wait.limit_s:
                    raise source_failed(source, f"it has sent nothing for {wait.limit_s:g} s")
            except PatchsearchError as error:
                why.append(error)
                call.cancel()
                return

    threading.Thread(target=watch, name="copy-watch", daemon=True).start()
    messages = iter(call)
    try:
        while True:
            wait.since = time.monotonic()
            try:
                message = next(messages, None)
            except grpc.RpcError as error:
                if why:
                    raise why[0] from error
                raise
            wait.since = None
            if message is None:
                return
            wait.limit_s = patience.piece_s
            yield message
    finally:
        ended.set()
        # Of one that has ended this does nothing.
        call.cancel()
