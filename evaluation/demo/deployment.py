"""The system that the demo asks: encoder, shard and router as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from patchsearch import Client
from patchsearch.serving import EmbeddedCluster


@contextmanager
def served(data: Path, encoder: str, console: Console) -> Iterator[Client]:
    """A client of an embedded deployment over `data`, which ends with the block."""
    cluster = EmbeddedCluster(data, encoder, progress=lambda line: console.print(line, style="dim"))
    with cluster, Client(cluster.address) as client:
        yield client
