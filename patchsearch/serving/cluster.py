"""Starts, watches and stops the processes of an embedded deployment."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from patchsearch.ports import refuse_taken
from patchsearch.serving.child import Child, RestartPolicy
from patchsearch.serving.directory import DataDirectory
from patchsearch.serving.placement_file import update_placement
from patchsearch.serving.programs import (
    Programs,
    common_flags,
    encoder_flags,
    router_flags,
    shard_flags,
)

Role = Literal["encoder", "shard", "router"]

_KILL_AFTER_DRAIN_S = 5.0
_LOOPBACK = "127.0.0.1"


class EmbeddedCluster:
    """Encoder, shards and router as child processes over one data directory, on loopback.

    A context manager: entry returns once the router serves, exit stops router, shards and encoder
    in that order. A child that dies is restarted at its old port. The children end with this
    process, however it ends.

    `encoder` and `shards` None take what the directory was made with ("mini" and 1 where it is
    new). Port 0 takes a free one. `arguments` adds flags for a role: {"encoder": ("--threads",
    "1")}. `logs` "file" writes DIR/logs/, "console" lets the children write to standard error.
    `progress` gets a line for a person at each step; `cancelled` is asked while starting and
    stopping: once it is true, starting ends with Unavailable (CANCELLED), stopping kills.

    Raises on entry what `DataDirectory` raises, FailedPrecondition (PORT_TAKEN, CHILD_FAILED,
    PLACEMENT_INVALID) and Unavailable (CHILD_SLOW), with everything stopped again.
    """

    def __init__(
        self,
        data: Path | str,
        encoder: str | None = None,
        shards: int | None = None,
        port: int = 0,
        *,
        encoder_port: int = 0,
        host: str = _LOOPBACK,
        programs: Programs | None = None,
        arguments: Mapping[Role, Sequence[str]] | None = None,
        logs: Literal["file", "console"] = "file",
        start_timeout_s: float = 300.0,
        drain_s: float = 10.0,
        restarts: RestartPolicy | None = None,
        progress: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self._path = Path(data)
        self._asked = (shards, encoder)
        self._host = host
        self._port = port
        self._encoder_port = encoder_port
        self._programs = programs or Programs()
        self._arguments = dict(arguments or {})
        self._logs = logs
        self._start_timeout_s = start_timeout_s
        self._drain_s = drain_s
        self._restarts = restarts or RestartPolicy()
        self._progress = progress or (lambda line: None)
        self._cancelled = cancelled or (lambda: False)
        self._directory: DataDirectory | None = None
        self._children: list[Child] = []
        self._announcing = threading.Lock()
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def address(self) -> str:
        """Where clients reach the router: "127.0.0.1:7100". Valid between start and stop."""
        return self._child("router").address

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name: "encoder", "shard-0", ..., "router"."""
        return {child.name: child.pid for child in self._children if child.pid is not None}

    @property
    def failures(self) -> queue.SimpleQueue[str]:
        """Gets a message for each child that is given up because it died too often."""
        return self._failures

    def start(self) -> None:
        """Starts everything; see the class."""
        if self._directory is not None:
            raise RuntimeError("this cluster runs already")
        self._directory = DataDirectory(self._path, *self._asked)
        try:
            self._start(self._directory)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops router, shards, encoder, each after its running calls; gives the directory up."""
        for child in reversed(self._children):
            child.stop(self._drain_s + _KILL_AFTER_DRAIN_S, self._cancelled)
        self._children.clear()
        if self._directory is not None:
            self._directory.close()
            self._directory = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, directory: DataDirectory) -> None:
        refuse_taken(self._host, self._port, "--port")
        refuse_taken(_LOOPBACK, self._encoder_port, "--encoder-port")
        programs = self._programs
        encoder = self._add(
            directory,
            "encoder",
            lambda port: (*programs.encoder, *encoder_flags(directory.encoder)),
            role="encoder",
            port=self._encoder_port,
        )
        shards = [self._add_shard(directory, name) for name in directory.shard_names]
        self._progress(
            f"starting the encoder ({directory.encoder}) and {len(shards)} "
            f"{'shard' if len(shards) == 1 else 'shards'}"
        )
        for child in (*shards, encoder):
            self._await(child)
        update_placement(directory.placement_file, {shard.name: shard.address for shard in shards})
        router = self._add(
            directory,
            "router",
            lambda port: (
                *programs.router,
                *router_flags(
                    directory.placement_file,
                    encoder.address,
                    create_partitions=not directory.partitions_created,
                ),
            ),
            role="router",
            port=self._port,
            host=self._host,
        )
        self._await(router)
        directory.remember_partitions()
        self._announce()
        for child in self._children:
            child.watch(partial(self._restarted, child), self._failures.put)

    def _add_shard(self, directory: DataDirectory, name: str) -> Child:
        flags = shard_flags(directory.path / name, name)
        return self._add(
            directory, name, lambda port: (*self._programs.shard, *flags), role="shard", port=0
        )

    def _add(
        self,
        directory: DataDirectory,
        name: str,
        command: Callable[[int], Sequence[str]],
        *,
        role: Role,
        port: int,
        host: str = _LOOPBACK,
    ) -> Child:
        ready_file = directory.ready_file(name)

        def whole(at: int) -> Sequence[str]:
            common = common_flags(host=host, port=at, ready_file=ready_file, drain_s=self._drain_s)
            return (*command(at), *common, *self._arguments.get(role, ()))

        child = Child(
            name,
            whole,
            host=host,
            port=port,
            ready_file=ready_file,
            log_file=directory.log_file(name) if self._logs == "file" else None,
            restarts=self._restarts,
        )
        child.start()
        self._children.append(child)
        return child

    def _await(self, child: Child) -> None:
        started = time.monotonic()
        child.wait_ready(self._start_timeout_s, self._cancelled)
        self._progress(
            f"{child.name} ready at {child.address} ({time.monotonic() - started:.1f} s)"
        )

    def _restarted(self, child: Child) -> None:
        self._progress(f"{child.name} died and was started again (process {child.pid})")
        with suppress(OSError):  # a full disk must not end the watching
            self._announce()

    def _announce(self) -> None:
        with self._announcing:
            if self._directory is not None:
                self._directory.announce(
                    self.address,
                    {c.name: {"pid": c.pid, "address": c.address} for c in self._children},
                )

    def _child(self, name: str) -> Child:
        for child in self._children:
            if child.name == name:
                return child
        raise RuntimeError("the cluster is not running")
