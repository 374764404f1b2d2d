"""`patchsearch tls init`: certificates for a first cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import FailedPrecondition, InvalidArgument

app = typer.Typer(name="tls", help="Certificates for a first cluster.", no_args_is_help=True)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="where to; made where it is not there")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="name or address of a server, repeatable; *.zone holds for a zone"),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="days that certificates hold")] = 365,
    as_json: AsJson = False,
) -> None:
    """Make an authority, a certificate for each host, and one for operators' tools.

    Run it again to renew, or with more hosts: the authority that is there signs again, and servers
    take the new files up without a restart. For tests and first clusters: the authority's key lies
    beside the rest, in ca.key, and whoever has it can be any service. Keep it elsewhere.
    """
    try:
        from patchsearch.certificates import make_certificates
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"this needs {error.name}: pip install 'patchsearch[tls]'"
        ) from error
    try:
        written = make_certificates(directory, host or ["localhost"], days=days)
    except OSError as error:
        raise InvalidArgument(
            "FILE_UNWRITABLE",
            f"cannot write in {directory}: {error.strerror}; name a directory that can be written",
        ) from error
    if as_json:
        print_json(
            {"written": [{"path": str(path), "what": what} for path, what in written.items()]}
        )
        return
    for path, what in written.items():
        typer.echo(f"{path}  {what}")
