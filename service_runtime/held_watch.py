"""A call that stays open on a channel, so that calls made with `future` cost less."""

from __future__ import annotations

import threading
import time

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

_AGAIN_S = 1.0


def hold_watch(channel: grpc.Channel) -> None:
    """Watches the health of the server at the other end, until the channel is closed.

    What is heard is of no use to anybody; that the call is there is. grpc's Python client sees to
    calls made with `future` in a thread of their channel, which it starts with the first and ends
    with the last one under way: on a channel that is idle in between, every call starts a thread
    and waits for it (`docs/decisions/016-a-watch-is-held-open.md`). Servers that stop end it.
    """
    health = HealthStub(channel)
    threading.Thread(target=lambda: _hold(health), name="held-watch", daemon=True).start()


def _hold(health: HealthStub) -> None:
    while True:
        try:
            for _ in health.Watch(HealthCheckRequest()):
                pass
        except ValueError:  # the channel is closed
            return
        except grpc.RpcError:  # out of reach, or the channel was closed meanwhile
            pass
        time.sleep(_AGAIN_S)
