"""TCP links that can be made slow, silent or cut: one listening port in front of each server."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

_CHUNK = 64 * 1024


class LinkState(enum.Enum):
    """What a link does with what it is given."""

    UP = "up"
    SLOW = "slow"
    """Every chunk is `FaultProxy.delay_s` late."""
    SILENT = "silent"
    """Connections stay open and nothing passes: a partition, or half-open connections."""
    CUT = "cut"
    """Connections are reset, new ones too."""


@dataclass
class _Link:
    port: int
    state: LinkState = LinkState.UP
    listening: int = 0
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """Links by name, in an event loop of their own thread. Thread-safe; a context manager."""

    def __init__(self, delay_s: float = 0.2) -> None:
        self.delay_s = delay_s
        self._links: dict[str, _Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def link(self, name: str, port: int) -> int:
        """Makes a link to a port on this machine; returns the port that leads there."""
        link = _Link(port)
        self._links[name] = link
        self._do(self._listen(link))
        return link.listening

    def set(self, name: str, state: LinkState) -> None:
        """Changes what a link does from now on."""
        self._do(self._set(self._links[name], state))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, link: _Link) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(link, reader, writer)

        link.server = await asyncio.start_server(serve, "127.0.0.1", 0)
        link.listening = link.server.sockets[0].getsockname()[1]

    async def _set(self, link: _Link, state: LinkState) -> None:
        link.state = state
        link.changed.set()
        link.changed = asyncio.Event()
        if state is LinkState.CUT:
            for writer in list(link.writers):
                writer.transport.abort()

    async def _serve(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link.writers.add(writer)
        try:
            if link.state is LinkState.CUT:
                return
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", link.port)
            link.writers.add(inner_writer)
            try:
                ways = [
                    asyncio.create_task(self._pump(link, reader, inner_writer)),
                    asyncio.create_task(self._pump(link, inner_reader, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                link.writers.discard(inner_writer)
                inner_writer.transport.abort()
        except OSError:
            return  # nobody listens behind the link: this connection is reset too
        finally:
            link.writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            if link.state is LinkState.SLOW:
                await asyncio.sleep(self.delay_s)
            while link.state is LinkState.SILENT:
                await link.changed.wait()
            writer.write(chunk)
            await writer.drain()

    async def _close(self) -> None:
        for link in self._links.values():
            if link.server is not None:
                link.server.close()
            for writer in list(link.writers):
                writer.transport.abort()
        # The tasks that served these connections end now.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
