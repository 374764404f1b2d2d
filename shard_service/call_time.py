"""How long a call may take, as a checkpoint for the work that is done for it."""

from __future__ import annotations

import time

import grpc

from patchsearch.errors import DeadlineExceeded
from service_runtime.deadlines import remaining_s
from shard_service.checkpoint import Checkpoint


def checkpoint_of(context: grpc.ServicerContext) -> Checkpoint:
    """Raises DeadlineExceeded once the call's time, as of now, is over."""
    until = time.monotonic() + remaining_s(context)

    def check() -> None:
        if time.monotonic() > until:
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED", "the call ran out of time; give it a longer deadline"
            )

    return check
