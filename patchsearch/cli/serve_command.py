"""`patchsearch serve`: encoder, shards and router on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchsearch.errors import FailedPrecondition


def serve(
    data: Annotated[Path, typer.Option(help="data directory; made where it is not there")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="mini, ARCHITECTURE:PRETRAINED (ViT-B-16:openai), ARCHITECTURE:CHECKPOINT or a"
            " folder; default: what the data directory was made with, mini for a new one"
        ),
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="shards of a new data directory (1)")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port of the router")] = 7100,
    host: Annotated[str, typer.Option(help="address of this machine to listen on")] = "127.0.0.1",
) -> None:
    """Serve a collection from one directory until Ctrl-C.

    Starts encoder, shards and router as child processes on loopback, starts again what dies, and
    stops all at the end. Logs are in DATA/logs.
    """
    try:
        from patchsearch.serving import serve as run
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"serving needs {error.name}: pip install 'patchsearch[server]'"
        ) from error
    raise typer.Exit(
        run(data, encoder=encoder, shards=shards, port=port, host=host, echo=typer.echo)
    )
