"""`patchsearch ui`: the page to search, look, judge and take sets away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchsearch.cli.connection import calls_server
from patchsearch.errors import FailedPrecondition
from patchsearch.wire.security import ChannelSecurity


@calls_server
def ui(
    security: ChannelSecurity,
    photos: Annotated[
        list[str] | None,
        typer.Option(help="folder, or s3://... address, whose photos may be shown and ingested"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="folder for sets and uploads (patchsearch-desk)")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(envvar="PATCHSEARCH_ADDRESS", help="host:port of the router (127.0.0.1:7100)"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="address of this machine to listen on (127.0.0.1)")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="port of the page; 0 takes a free one (7180)")
    ] = None,
    access_token_file: Annotated[
        Path | None,
        typer.Option(help="file with the token that people give to see anything"),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None, typer.Option(help="a name under which browsers reach the page")
    ] = None,
    open_to_network: Annotated[
        bool, typer.Option("--open-to-network", help="listen beyond loopback without a token")
    ] = False,
    ingest: Annotated[bool, typer.Option(help="show the page that ingests photos")] = True,
) -> None:
    """Serve the page until Ctrl-C.

    Photos are shown only from the folders of --photos. Further settings are variables
    PATCHSEARCH_UI_* (docs/ui.md).
    """
    try:
        from ui.program import serve_ui
        from ui.settings import make_settings
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"the page needs {error.name}: pip install 'patchsearch[ui]'"
        ) from error
    settings = make_settings(
        photos=photos or None,
        data=data,
        router=address,
        host=host,
        port=port,
        access_token_file=access_token_file,
        allowed_hosts=allowed_hosts or None,
        open_to_network=open_to_network or None,
        allow_ingest=None if ingest else False,
    )
    serve_ui(settings, security, echo=typer.echo)
