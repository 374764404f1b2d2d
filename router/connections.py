"""Channels to shards: one an address, opened when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import grpc

from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from service_runtime.held_watch import hold_watch


class ShardConnections:
    """Stubs by address. Thread-safe; reconnecting is left to gRPC."""

    def __init__(self, open_channel: Callable[[str], grpc.Channel]) -> None:
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._stubs: dict[str, ShardServiceStub] = {}

    def stub(self, address: str) -> ShardServiceStub:
        """The shard that listens at an address; does not wait for it."""
        stub = self._stubs.get(address)
        if stub is not None:
            return stub
        with self._lock:
            if address not in self._stubs:
                channel = self._open_channel(address)
                self._channels[address] = channel
                hold_watch(channel)
                self._stubs[address] = ShardServiceStub(channel)
            return self._stubs[address]

    def close(self) -> None:
        """Closes every channel; calls under way are cancelled."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()
            self._stubs.clear()
