"""`patchsearch token`: the tokens that a server lets in. The file holds hashes only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from service_runtime.token_file import TokenEntry

app = typer.Typer(
    name="token", help="Make and revoke the tokens that callers show.", no_args_is_help=True
)

Tokens = Annotated[
    Path,
    typer.Option(
        "--tokens", envvar="PATCHSEARCH_TOKENS", help="file of the tokens; the servers' --tokens"
    ),
]
Name = Annotated[str, typer.Option(help="who it is for; stands in logs: letters, digits, ._@-")]


@app.command()
def new(
    role: Annotated[str, typer.Option(help="reader, writer (and reads), admin, or service")],
    name: Name,
    tokens: Tokens,
    days: Annotated[
        float | None, typer.Option(min=0.001, help="days until it expires; never unless given")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="calls a second")] = None,
    burst: Annotated[
        int | None, typer.Option(min=1, help="calls at once after a pause (a second's worth)")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="calls that may run side by side")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    from service_runtime.roles import Role
    from service_runtime.token_file import (
        Quota,
        TokenEntry,
        check_name,
        hash_of,
        new_token,
    )

    try:
        check_name(name)
        known = Role(role)
    except ValueError as error:
        raise InvalidArgument(
            "TOKEN_INVALID", f"{error}; the roles are {', '.join(one.value for one in Role)}"
        ) from error
    entries = _entries(tokens) if tokens.exists() else []
    if any(entry.name == name for entry in entries):
        raise InvalidArgument(
            "TOKEN_EXISTS", f"{tokens} has a token {name}; revoke it first, or use another name"
        )
    token = new_token()
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    entry = TokenEntry(name, known, hash_of(token), expires, Quota(rate, burst, concurrency))
    _write(tokens, [*entries, entry])
    if as_json:
        print_json({"name": name, "role": known.value, "expires": expires, "token": token})
    else:
        typer.echo(token)


@app.command("list")
def list_tokens(tokens: Tokens, as_json: AsJson = False) -> None:
    """Tell which tokens there are; not what they are."""
    rows = [
        {
            "name": entry.name,
            "role": entry.role.value,
            "expires": entry.expires,
            "rate": entry.quota.rate,
            "burst": entry.quota.burst,
            "concurrency": entry.quota.concurrency,
        }
        for entry in _entries(tokens)
    ]
    if as_json:
        print_json({"tokens": rows})
        return
    now = datetime.now(UTC)
    for entry in _entries(tokens):
        limits = [
            f"{value:g} {what}"
            for value, what in (
                (entry.quota.rate, "calls/s"),
                (entry.quota.burst, "at once"),
                (entry.quota.concurrency, "side by side"),
            )
            if value is not None
        ]
        ending = ""
        if entry.expires is not None:
            passed = "EXPIRED " if entry.expires <= now else "until "
            ending = f"  {passed}{entry.expires:%Y-%m-%d %H:%M} UTC"
        told = f"{entry.name:24} {entry.role.value:8}{ending}  {', '.join(limits)}"
        typer.echo(told.rstrip())


@app.command()
def revoke(name: Name, tokens: Tokens, as_json: AsJson = False) -> None:
    """Take a token out of the file; servers refuse it from their next call on."""
    entries = _entries(tokens)
    kept = [entry for entry in entries if entry.name != name]
    if len(kept) == len(entries):
        raise NotFound("TOKEN_NOT_FOUND", f"{tokens} has no token {name}; `token list` tells all")
    _write(tokens, kept)
    if as_json:
        print_json({"revoked": name})
    else:
        typer.echo(f"revoked {name}")


def _entries(tokens: Path) -> list[TokenEntry]:
    from service_runtime.token_file import read_tokens

    return list(read_tokens(tokens))


def _write(tokens: Path, entries: list[TokenEntry]) -> None:
    from service_runtime.token_file import write_tokens

    try:
        write_tokens(tokens, entries)
    except OSError as error:
        raise InvalidArgument(
            "FILE_UNWRITABLE", f"cannot write {tokens}: {error.strerror}; name another file"
        ) from error
