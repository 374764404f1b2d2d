"""Calls to one shard's internal port, and what an operator sees while they run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from rich.console import Console

from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.channel import channel_options, error_of_call
from patchsearch.wire.security import ChannelSecurity, open_plain_or_tls

_MAX_MESSAGE_MB = 64
_QUICK_S = 30.0
# Calls that are over by then need no spinner.
_PATIENCE_S = 1.0
_POLL_S = 0.5

_Answer = TypeVar("_Answer")


class ShardCalls:
    """A connection to the shard at `address`; calls raise the errors of `patchsearch.errors`.

    Use it as a context manager. One thread at a time.
    """

    def __init__(self, address: str, timeout_s: float, security: ChannelSecurity) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._metadata = tuple(security.metadata())
        self._channel = open_plain_or_tls(address, security, channel_options(_MAX_MESSAGE_MB))
        self.stub = ShardServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def describe(self, partition_ids: Sequence[str] = ()) -> list[pb.PartitionDescription]:
        """The state of partitions; of all where none is named."""
        timeout_s = min(_QUICK_S, self._timeout_s)
        request = pb.DescribePartitionsRequest(partition_ids=partition_ids)
        try:
            answer = self.stub.DescribePartitions(
                request, timeout=timeout_s, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise error_of_call(error, self._address, timeout_s) from error
        return list(answer.partitions)

    def run(
        self,
        what: str,
        partition_id: str,
        method: grpc.UnaryUnaryMultiCallable[Any, _Answer],
        request: Any,
    ) -> _Answer:
        """The answer of a call that may take long; on a terminal a line tells how far it is."""
        future = method.future(request, timeout=self._timeout_s, metadata=self._metadata)
        try:
            with contextlib.suppress(grpc.FutureTimeoutError):
                return future.result(timeout=_PATIENCE_S)
            with Console(stderr=True).status(f"{partition_id}: {what}") as status:
                for activity in self._activities(partition_id, future):
                    status.update(f"{partition_id}: {activity or what}")
            return future.result()
        except grpc.RpcError as error:
            raise error_of_call(error, self._address, self._timeout_s) from error
        finally:
            future.cancel()  # type: ignore[no-untyped-call]

    def _activities(self, partition_id: str, future: Any) -> Iterator[str]:
        while not future.done():
            with contextlib.suppress(PatchsearchError):
                (state,) = self.describe([partition_id])
                yield state.activity
            # In small steps, so that the end is noticed at once.
            until = time.monotonic() + _POLL_S
            while not future.done() and time.monotonic() < until:
                time.sleep(0.05)
