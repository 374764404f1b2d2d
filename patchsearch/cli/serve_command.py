"""`patchsearch serve`: encoder, shards and router on this machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from patchsearch.errors import FailedPrecondition, InvalidArgument


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
    host: Annotated[
        str,
        typer.Option(
            help="address of this machine to listen on; others than loopback need TLS and tokens"
        ),
    ] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the router's certificate: TLS only then")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key")] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="file of the tokens that callers may show")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="listen beyond loopback without TLS or tokens")
    ] = False,
    audit_file: Annotated[
        Path | None, typer.Option(help="file that gets a line for each call: who, what kind")
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="answer without uris, metadata, digests and vectors")
    ] = False,
    ui: Annotated[
        bool, typer.Option("--ui", help="serve the web page, too; see `patchsearch ui`")
    ] = False,
    ui_port: Annotated[
        int, typer.Option(min=0, max=65535, help="port of the page, on loopback")
    ] = 7180,
    photos: Annotated[
        list[str] | None,
        typer.Option(help="folder whose photos the page may show and ingest; can be repeated"),
    ] = None,
) -> None:
    """Serve a collection from one directory until Ctrl-C.

    Starts encoder, shards and router as child processes on loopback, starts again what dies, and
    stops all at the end. Logs are in DATA/logs.
    """
    files = {
        "--tls-cert": tls_cert,
        "--tls-key": tls_key,
        "--tokens": tokens,
        "--audit-file": audit_file,
    }
    router = [
        word
        for flag, file in files.items()
        if file is not None
        for word in (flag, str(file.absolute()))
    ]
    router += [
        flag for flag, given in {"--insecure": insecure, "--redact": redact}.items() if given
    ]
    try:
        from patchsearch.serving import serve as run

        # The services need it, not this process: found out now, before they die of it.
        import_module("grpc_health.v1.health")
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"serving needs {error.name}: pip install 'patchsearch[server]'"
        ) from error
    raise typer.Exit(
        run(
            data,
            encoder=encoder,
            shards=shards,
            port=port,
            host=host,
            arguments={"router": router},
            page=_page(data, ui_port, photos, known_callers=bool(tls_cert or tokens))
            if ui
            else None,
            echo=typer.echo,
        )
    )


def _page(
    data: Path, port: int, photos: list[str] | None, *, known_callers: bool
) -> Callable[[str], AbstractContextManager[str]]:
    """What serves the page over the router at an address."""
    if known_callers:
        raise InvalidArgument(
            "UI_NEEDS_CREDENTIALS",
            "a router with TLS or tokens asks the page for them: start `patchsearch ui` beside it "
            "with --tls-ca and --token-file",
        )
    try:
        from ui.program import running_ui
        from ui.settings import make_settings
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"the page needs {error.name}: pip install 'patchsearch[ui]'"
        ) from error
    return lambda address: running_ui(
        make_settings(router=address, port=port, photos=photos, data=data / "desk")
    )
