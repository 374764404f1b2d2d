"""The commands, and how their errors end the process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata

import typer

from patchsearch.cli import (
    bench_command,
    evaluate_command,
    image_commands,
    ingest_command,
    restore_command,
    search_command,
    serve_command,
    shard_commands,
    verify_command,
)
from patchsearch.errors import PatchsearchError

FAILED, UNREACHABLE = 1, 3

app = typer.Typer(
    name="patchsearch",
    help="Find every other place that shows it: search photographs by crop, text, or both.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serve_command.serve)
app.command("ingest")(ingest_command.ingest)
app.command("search")(search_command.search)
app.command("get")(image_commands.get)
app.command("delete")(image_commands.delete)
app.command("list")(image_commands.list_images)
app.command("describe")(image_commands.describe)
app.command("verify")(verify_command.verify)
app.command("restore")(restore_command.restore)
app.command("evaluate")(evaluate_command.evaluate)
app.add_typer(shard_commands.app)
app.add_typer(bench_command.app)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(metadata.version("patchsearch"))


def run(arguments: Sequence[str]) -> int:
    """Runs a command line and returns its exit status; errors are one line on standard error."""
    try:
        app(list(arguments))
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else FAILED
    except PatchsearchError as error:
        print(f"patchsearch: {error}", file=sys.stderr)
        return UNREACHABLE if error.reason == "UNREACHABLE" else FAILED
    return 0
