"""`docs/cli.md`: the commands of `patchsearch`, from the functions that run them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_HEAD = """\
# Command line

Made from the commands by `make docs`; `patchsearch COMMAND --help` tells the same. Ready answers
go to standard output, progress, warnings and errors to standard error: pipes get the answer alone.
An option with a variable takes it from the environment where it is not given.

## Exit codes

| code | meaning |
|---|---|
| 0 | done; a search without hits too |
| 1 | refused, with one line `patchsearch: MESSAGE [REASON]`; or a part failed, which is told |
| 2 | the command was used wrongly |
| 3 | nobody answers at the address |
| 130 | interrupted by Ctrl-C |

A part failed: photos that could not be stored, crops without a photo, a store that is damaged, a
cluster that is not well.

## Connecting

Commands that take `--address` also take these. Several routers of one collection are given with
commas, `host:port,host:port`: calls go to those that answer.

CONNECTION

## JSON

`--json` prints one JSON document (`list` one object a line, as it goes) instead of text, with the
field names of the [Python classes](howto/python.md): boxes are `{"x", "y", "w", "h"}` in pixels,
times ISO 8601. Every command that answers and ends has it.

## Completion

    patchsearch --install-completion

sets up completion of commands and options for the shell that runs it (bash, zsh, fish,
PowerShell); `--show-completion` prints the script instead.

## Judging by file

    patchsearch search --text "an ambulance" --json > hits.json
    patchsearch judge finds.csv --add hits.json --label ambulance
    patchsearch judge finds.csv --yes 1,3-7 --no 2,8-16
    patchsearch search --text "an ambulance" --judged finds.csv --new --sheet next.png
    patchsearch export finds.csv --format coco --out ambulances.json

See [growing a set](howto/feedback.md) and [exporting it](howto/export.md).
"""

_CONNECTION = {"tls", "tls_ca", "tls_cert", "tls_key", "token", "token_file", "insecure"}
_TABLE = ("| argument, option | variable | default | meaning |", "|---|---|---|---|")


def cli_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    import typer

    from patchsearch.cli.app import app

    commands = list(_commands(typer.main.get_command(app), ("patchsearch",)))
    connection = [
        _row(parameter)
        for parameter in next(c for path, c in commands if path[-1] == "search").params
        if parameter.name in _CONNECTION
    ]
    parts = [_HEAD.replace("CONNECTION", "\n".join([*_TABLE, *connection]))]
    for path, command in commands:
        parts += _command(path, command)
    return "\n".join(parts).rstrip() + "\n"


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from _commands(one, (*path, name))


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    yield f"## {' '.join(path)}"
    yield ""
    for line in (command.help or "").splitlines():
        yield line.strip()
    yield ""
    names = {parameter.name for parameter in command.params}
    rows = [
        _row(parameter)
        for parameter in command.params
        if not (_CONNECTION <= names and parameter.name in _CONNECTION)
    ]
    if rows:
        yield from _TABLE
        yield from rows
        yield ""


def _row(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    if is_argument:
        shown = f"`{(parameter.metavar or parameter.name.upper()).strip('{}')}`"
    else:
        shown = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    variable = f"`{parameter.envvar}`" if parameter.envvar else ""
    value = parameter.default() if callable(parameter.default) else parameter.default
    if parameter.required:
        default = "required"
    elif value is None or value is False or value == "" or value == () or value == []:
        default = ""
    else:
        default = f"`{value}`"
    meaning = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
    return f"| {shown} | {variable} | {default} | {meaning} |"
