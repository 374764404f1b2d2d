"""The commands, and how their errors end the process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata

import typer

from patchsearch.cli import (
    backup_command,
    bench_command,
    cluster_commands,
    evaluate_command,
    export_command,
    image_commands,
    ingest_command,
    judge_command,
    restore_command,
    search_command,
    serve_command,
    shard_commands,
    tls_command,
    token_command,
    ui_command,
    verify_command,
)
from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
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
app.command("ui")(ui_command.ui)
app.command("ingest")(ingest_command.ingest)
app.command("search")(search_command.search)
app.command("judge")(judge_command.judge)
app.command("export")(export_command.export)
app.command("get")(image_commands.get)
app.command("delete")(image_commands.delete)
app.command("list")(image_commands.list_images)
app.command("describe")(image_commands.describe)
app.command("verify")(verify_command.verify)
app.command("backup")(backup_command.backup)
app.command("restore")(restore_command.restore)
app.command("evaluate")(evaluate_command.evaluate)
app.add_typer(shard_commands.app)
app.add_typer(cluster_commands.app)
app.add_typer(bench_command.app)
app.add_typer(tls_command.app)
app.add_typer(token_command.app)


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    number = metadata.version("patchsearch")
    if as_json:
        print_json({"version": number})
    else:
        typer.echo(number)


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
